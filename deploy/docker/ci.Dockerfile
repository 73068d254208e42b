# syntax=docker/dockerfile:1
# tidegate for CI jobs: a shell, git, and what posts a plan. Charts and overlays are rendered by your
# own helm and kustomize: `FROM` this image and add the versions that you deploy with.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --locked --release

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends bash ca-certificates curl git jq \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/target/release/tidegate /usr/local/bin/tidegate
COPY --from=build /src/deploy/ci/run /src/deploy/ci/gitlab-note /usr/local/lib/tidegate/
USER 65532:65532
CMD ["tidegate", "--help"]
