//! Sizes: which part of a picture is taken, and how large it becomes. Pure.
//!
//! As imgproxy does it for upstream: nothing is enlarged, what is cut off
//! follows the gravity, a length that was not asked for follows the other.

use super::params::{Gravity, Resize, Transform};

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// What to take of the picture, in its own pixels, and what size to give it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) to: Size,
    /// The whole picture.
    pub(crate) full: (f64, f64),
}

/// One axis of it.
#[derive(Clone, Copy)]
struct Axis {
    source: f64,
    asked: Option<u32>,
    shrink: f64,
}

impl Axis {
    fn new(source: u32, asked: Option<u32>) -> Self {
        let source = f64::from(source.max(1));
        Self {
            source,
            asked,
            shrink: asked.map_or(1.0, |asked| source / f64::from(asked.max(1))),
        }
    }

    /// How long the whole would be after scaling.
    fn scaled(&self) -> f64 {
        (self.source / self.shrink).round().max(1.0)
    }

    /// How long the part of it is that is kept.
    fn kept(&self) -> f64 {
        let scaled = self.scaled();
        self.asked
            .map_or(scaled, |asked| scaled.min(f64::from(asked.max(1))))
    }

    /// Begin and length of the part in the picture's own pixels.
    fn part(&self, begin: f64) -> (f64, f64) {
        let scale = self.source / self.scaled();
        let length = (self.kept() * scale).min(self.source);
        ((begin * scale).clamp(0.0, self.source - length), length)
    }
}

/// Decides about a picture of this size.
pub(crate) fn plan(size: Size, asked: &Transform) -> Plan {
    let mut x = Axis::new(size.width, asked.width);
    let mut y = Axis::new(size.height, asked.height);
    let one_follows_other = asked.resize != Resize::Fill;
    match (asked.width, asked.height) {
        (None, Some(_)) if one_follows_other => x.shrink = y.shrink,
        (Some(_), None) if one_follows_other => y.shrink = x.shrink,
        (Some(_), Some(_)) => match asked.resize {
            Resize::Cover => {
                let shrink = x.shrink.min(y.shrink);
                (x.shrink, y.shrink) = (shrink, shrink);
            }
            Resize::Contain => {
                let shrink = x.shrink.max(y.shrink);
                (x.shrink, y.shrink) = (shrink, shrink);
            }
            Resize::Fill => {}
        },
        _ => {}
    }
    // What would be enlarged keeps its size, and the other length its part of it.
    let largest = x.shrink.min(y.shrink);
    if largest < 1.0 {
        x.shrink /= largest;
        y.shrink /= largest;
    }
    // No length is less than one pixel.
    x.shrink = x.shrink.min(x.source);
    y.shrink = y.shrink.min(y.source);
    let (begin_x, begin_y) = begin(&x, &y, asked.gravity);
    let (left, width) = x.part(begin_x);
    let (top, height) = y.part(begin_y);
    Plan {
        left,
        top,
        width,
        height,
        to: Size {
            width: whole(x.kept()),
            height: whole(y.kept()),
        },
        full: (x.source, y.source),
    }
}

/// Where the kept part begins, in scaled pixels.
fn begin(x: &Axis, y: &Axis, gravity: Option<Gravity>) -> (f64, f64) {
    let gravity = gravity.unwrap_or_default();
    let (horizontal, vertical) = match gravity {
        Gravity::Focus {
            x: focus_x,
            y: focus_y,
        } => {
            let at = |axis: &Axis, focus: f64| {
                let begin = axis.scaled().mul_add(focus, -axis.kept() / 2.0).round();
                begin.clamp(0.0, axis.scaled() - axis.kept())
            };
            return (at(x, focus_x), at(y, focus_y));
        }
        Gravity::Side {
            horizontal,
            vertical,
            ..
        } => (horizontal, vertical),
    };
    let (offset_x, offset_y) = gravity.offsets();
    (along(x, horizontal, offset_x), along(y, vertical, offset_y))
}

/// `side` is -1 for the beginning, 0 for the middle, 1 for the end; an offset
/// below one is a part of the length.
fn along(axis: &Axis, side: i8, offset: f64) -> f64 {
    let room = axis.scaled() - axis.kept();
    let offset = if offset.abs() >= 1.0 {
        offset.round()
    } else {
        (axis.scaled() * offset).round()
    };
    let begin = match side {
        -1 => offset,
        1 => room - offset,
        _ => f64::midpoint(room, 1.0).floor() + offset,
    };
    begin.clamp(0.0, room)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at least one pixel, and at most what a u32 said before"
)]
fn whole(length: f64) -> u32 {
    length as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn to(width: u32, height: u32, query: &str) -> (u32, u32) {
        let asked = Transform::from_query(query).expect("valid");
        let plan = plan(Size { width, height }, &asked);
        (plan.to.width, plan.to.height)
    }

    #[test]
    fn sizes_are_what_upstream_gives() {
        assert_eq!(to(400, 200, ""), (400, 200));
        assert_eq!(to(400, 200, "width=100"), (100, 50));
        assert_eq!(to(400, 200, "height=100"), (200, 100));
        assert_eq!(to(400, 200, "width=100&height=100"), (100, 100));
        assert_eq!(
            to(400, 200, "width=100&height=100&resize=contain"),
            (100, 50)
        );
        assert_eq!(to(400, 200, "width=100&height=100&resize=fill"), (100, 100));
        assert_eq!(to(400, 200, "width=100&resize=fill"), (100, 200));
        // Nothing is enlarged.
        assert_eq!(to(100, 50, "width=200&height=200"), (100, 50));
        assert_eq!(to(100, 50, "width=2500&resize=contain"), (100, 50));
        assert_eq!(to(100, 50, "width=200&height=25"), (100, 25));
        assert_eq!(to(100_000, 1, "width=10"), (10, 1));
        // Lengths are held within what is allowed, not refused.
        assert_eq!(to(5000, 5000, "width=9999"), (2500, 2500));
        assert_eq!(to(400, 200, "width=0"), (400, 200));
    }

    #[test]
    fn gravity_says_what_is_cut_off() {
        let left = |query: &str| {
            let asked = Transform::from_query(query).expect("valid");
            let size = Size {
                width: 400,
                height: 100,
            };
            let plan = plan(size, &asked);
            assert_eq!((plan.to.width, plan.to.height), (50, 50));
            plan.left
        };
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b}");
        near(left("width=50&height=50"), 150.0);
        near(left("width=50&height=50&gravity=we"), 0.0);
        near(left("width=50&height=50&gravity=ea"), 300.0);
        near(left("width=50&height=50&gravity=we&x_offset=0.5"), 200.0);
        near(left("width=50&height=50&gravity=we&x_offset=10"), 20.0);
        near(
            left("width=50&height=50&gravity=fp&x_offset=0&y_offset=1"),
            0.0,
        );
        near(
            left("width=50&height=50&gravity=fp&x_offset=1&y_offset=1"),
            300.0,
        );
        near(left("width=50&height=50&gravity=we&x_offset=1e300"), 300.0);
    }

    proptest! {
        #[test]
        fn the_part_is_in_the_picture_and_never_grows(
            width in 1_u32..70_000, height in 1_u32..70_000,
            asked_width in proptest::option::of(0_u32..4000),
            asked_height in proptest::option::of(0_u32..4000),
            resize in 0_usize..3, gravity in 0_usize..11,
            x in -2.0_f64..2.0, y in -3000.0_f64..3000.0,
        ) {
            let resize = ["cover", "contain", "fill"].get(resize).expect("three");
            let names = ["no", "so", "ea", "we", "noea", "nowe", "soea", "sowe", "ce", "sm", "fp"];
            let name = names.get(gravity).expect("eleven");
            let (x, y) = if gravity == 10 { (x.abs() / 2.0, y.abs() / 3000.0) } else { (x, y) };
            let length = |name: &str, length: Option<u32>| {
                length.map_or_else(String::new, |length| format!("&{name}={length}"))
            };
            let query = format!(
                "resize={resize}{}{}&gravity={name}&x_offset={x}&y_offset={y}",
                length("width", asked_width), length("height", asked_height),
            );
            let asked = Transform::from_query(&query).expect("valid");
            let plan = plan(Size { width, height }, &asked);
            let slack = 1e-6;
            prop_assert!(plan.left >= 0.0 && plan.top >= 0.0);
            prop_assert!(plan.width > 0.0 && plan.height > 0.0);
            prop_assert!(plan.left + plan.width <= f64::from(width) + slack);
            prop_assert!(plan.top + plan.height <= f64::from(height) + slack);
            prop_assert!((1..=width).contains(&plan.to.width));
            prop_assert!((1..=height).contains(&plan.to.height));
            if let Some(asked) = asked.width { prop_assert!(plan.to.width <= asked); }
            if let Some(asked) = asked.height { prop_assert!(plan.to.height <= asked); }
        }
    }
}
