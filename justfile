# Every habit in one word. `just` lists them.

# list the habits
default:
    @just --list

# run the service: just run --config FILE
run *arguments:
    cargo run -- serve {{arguments}}

# the whole product on this machine, without account or network
demo *arguments:
    cargo run -- demo {{arguments}}

# every test of every crate
test *arguments:
    cargo test --workspace {{arguments}}

# formatting and lints, as CI asks for them
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# format everything
fmt:
    cargo fmt --all

# the documentation, without warnings
doc *arguments:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps {{arguments}}

# what must hold before anything lands
ci:
    .ci/run

# the figures: just bench, or just bench NAME
bench *names:
    cargo bench -p countersign --bench figures -- {{names}}

# configuration, policy and runbooks; the shipped ones when none is named
check *arguments:
    cargo run -- check {{arguments}}

# the manifests, rendered
manifests:
    for folder in deploy/base deploy/argocd deploy/overlays/*; do kubectl kustomize "$folder" >/dev/null && echo "ok $folder"; done
