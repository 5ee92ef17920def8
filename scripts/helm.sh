#!/usr/bin/env sh
# Builds helm into .helm/, for the chart's tests and `make chart`. Run by `make helm`; safe to run again.
set -eu
cd "$(dirname "$0")/.."
version=v3.19.0

if [ -x .helm/helm ] && [ "$(cat .helm/version 2>/dev/null)" = "$version" ]; then
  exit 0
fi
if ! command -v go >/dev/null 2>&1; then
  echo "burnline: no Go here to build helm with; install it (https://go.dev/dl), or put helm $version itself into .helm/" >&2
  exit 1
fi
echo "burnline: building helm $version into .helm/, which takes some minutes" >&2
GOBIN="$PWD/.helm" go install "helm.sh/helm/v3/cmd/helm@$version"
printf '%s\n' "$version" >.helm/version
