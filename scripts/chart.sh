#!/usr/bin/env sh
# Renders the chart with the values of each example, to where the tests compare it.
set -eu
cd "$(dirname "$0")/.."
for values in deploy/helm/examples/*.yaml; do
  name=$(basename "$values")
  # Helm tells of the rules' file, which is a link, on standard error.
  .helm/helm template burnline deploy/helm/burnline --namespace slo --kube-version v1.34.0 --values "$values" \
    >"tests/deploy/rendered/$name.new" 2>.helm/errors || { cat .helm/errors >&2; exit 1; }
  mv "tests/deploy/rendered/$name.new" "tests/deploy/rendered/$name"
done
