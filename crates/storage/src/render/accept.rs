//! What a client can show, as far as it matters here: WebP, and anything else.

/// What of an `Accept` header decides about the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, PartialOrd, Ord)]
pub enum Accept {
    /// WebP is not mentioned. A wildcard alone proves nothing: every program
    /// sends one.
    #[default]
    Usual,
    /// WebP and others: the smaller file is the better one.
    Also,
    /// WebP alone.
    Only,
}

/// Media ranges that are looked at; nobody needs more.
const RANGES_MAX: usize = 32;

impl Accept {
    /// Reads the header; what is malformed in it counts as not said.
    #[must_use]
    pub fn parse(header: &str) -> Self {
        let (mut webp, mut others) = (false, false);
        for range in header.split(',').take(RANGES_MAX) {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let refused = parts.any(|part| {
                let weight = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
                weight.is_some_and(|weight| weight.parse() == Ok(0.0_f32))
            });
            if refused || name.is_empty() {
                continue;
            }
            if name.eq_ignore_ascii_case("image/webp") {
                webp = true;
            } else {
                others = true;
            }
        }
        match (webp, others) {
            (false, _) => Self::Usual,
            (true, true) => Self::Also,
            (true, false) => Self::Only,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_and_programs() {
        let chrome = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8";
        assert_eq!(Accept::parse(chrome), Accept::Also);
        assert_eq!(Accept::parse("*/*"), Accept::Usual);
        assert_eq!(Accept::parse(""), Accept::Usual);
        assert_eq!(Accept::parse("Image/WebP"), Accept::Only);
        assert_eq!(Accept::parse("image/webp;q=0, */*"), Accept::Usual);
        assert_eq!(
            Accept::parse("image/webp;q=0.5, image/png;q=0"),
            Accept::Only
        );
    }
}
