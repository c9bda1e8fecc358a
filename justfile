# Short names for what is done all day. `just` lists them; CI runs `cargo xtask test`.

_default:
    @just --list --unsorted

# types and lints of everything, the inner loop
check:
    cargo clippy --workspace --all-targets -- -D warnings

# tests of one crate: `just t rest`
t crate *args:
    cargo nextest run --package {{crate}} {{args}}

# everything CI runs
test *args:
    cargo xtask test {{args}}

# the house rules
tidy:
    cargo xtask tidy

# formats everything
fmt:
    cargo fmt --all

# a development server in the current folder
dev *args:
    cargo run --release -- dev {{args}}

# PostgREST's specification against our binary
conformance *args:
    cargo xtask conformance {{args}}

# the official clients against our binary
clients:
    cargo xtask test --only clients

# rewrites golden files; read the difference before you commit it
update-golden crate="rest":
    UPDATE=1 cargo test --package {{crate}}

# the API of the crates, in a browser
doc:
    cargo doc --workspace --no-deps --document-private-items --open

# licences, bans and sources of every dependency
deny:
    cargo deny check bans licenses sources
