//! The launcher alone, for tests of this crate: what the real binary's `main`
//! does first, and nothing else.

fn main() {
    sandbox::init_main_if_asked();
}
