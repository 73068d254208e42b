# Every step has a recipe; `just ready` is the gate.

# List the recipes.
default:
    @just --list

# Everything that can fail a change.
ready:
    .ci/run

# Unit, rule, engine, webhook and command-line tests.
test *ARGS:
    cargo test {{ARGS}}

# Tests against a real API server: KUBEBUILDER_ASSETS names the folder of kube-apiserver, etcd, kubectl.
e2e:
    cargo test --test e2e -- --nocapture

# What the server survives, in full length; `just torture t04` for one case.
torture *ARGS:
    TIDEGATE_TORTURE=full cargo test --release --test torture -- {{ARGS}}

# The same in two minutes, as in `cargo test`.
torture-short *ARGS:
    cargo test --test torture -- {{ARGS}}

# An hour of steady load, with a million reviews; TIDEGATE_PROGRAM may name the program to hold it against.
soak:
    TIDEGATE_TORTURE=full cargo test --release --test torture -- --exact t35_soak

# In full length, and the tables of docs/reliability.md from the results.
reliability *ARGS:
    TIDEGATE_TORTURE=full TIDEGATE_TORTURE_TABLE=docs/reliability.md cargo test --release --test torture -- --test-threads 1 {{ARGS}}

# Throughput and latency beside a bare axum + rustls server, in one run; `--help` for what else.
bench *ARGS:
    cargo bench --bench load -- {{ARGS}}

# All of docs/performance.md: every figure, on a machine that does nothing else.
performance *ARGS:
    cargo bench --bench load -- --write --part counts,growth,load,inside,memory,check,allocators,api-server {{ARGS}}

# Instructions and allocations of a review in the release build, against their budgets.
budgets:
    .ci/budgets

# Write the budgets anew, after reading what grew.
budgets-write:
    TIDEGATE_BUDGETS=write .ci/budgets

# The steps of a review one by one, with what each allocates.
bench-steps *ARGS:
    cargo bench --bench steps -- {{ARGS}}

# What `scan` costs against an API server that makes up 50,000 workloads.
bench-scan:
    cargo bench --bench scan -- scan

# What the same cluster costs a server that watches it.
bench-watch:
    cargo bench --bench scan -- serve

# Write generated files: rule pages, policy schema.
gen:
    UPDATE_GENERATED=1 cargo test --test it generated

# Accept changed snapshots after reading them.
snapshots:
    INSTA_UPDATE=always cargo test

# A release build that says its commit and day.
release:
    TIDEGATE_COMMIT=$(git rev-parse --short HEAD) TIDEGATE_BUILD_DATE=$(git log -1 --format=%cs) cargo build --locked --release

# The tree of a new version: numbers, changelog, rendered manifests, and the notes on standard output.
version VERSION:
    .ci/version {{VERSION}}

# What the changelog says of the newest version: the text of a release.
notes:
    @.ci/notes

# What the binary is made of, in CycloneDX: target/tidegate.cdx.json.
sbom:
    .ci/sbom

# README, docs/ and what they lead to as a site: target/book.
site:
    .ci/site

fmt:
    cargo fmt

lint:
    cargo clippy --all-targets -- -D warnings

# Licences, sources, bans, duplicate dependencies and advisories.
deny:
    cargo deny check

# Detection alone: kinds of objects, sizes of scripts, beside a whole review.
bench-detect *ARGS:
    cargo bench --bench detect -- {{ARGS}}

# Small faults put into what decides, one at a time, each of which some test must see; `just mutants -f src/decision/settle.rs` for one file.
mutants *ARGS:
    cargo mutants {{ARGS}}

# One fuzz target (see docs/testing.md) for some seconds; needs cargo-fuzz and the nightly compiler.
fuzz TARGET TIME="600":
    cd fuzz && cargo +nightly fuzz run --sanitizer none {{TARGET}} corpus/{{TARGET}} -- -max_total_time={{TIME}} -timeout=5 -rss_limit_mb=2048 -max_len=16384 -dict=dict/{{TARGET}}.dict -close_fd_mask=1
