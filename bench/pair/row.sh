#!/usr/bin/env bash
# Lays out a pair of sidecars for a side-by-side benchmark and prints how to start it, as JSON:
#   bench/pair/row.sh target/dist/countersign DIR >countersign.json
# The pair has what a user has: an own CA, a policy of 100 rules of which the last allows, metrics, and an access log to a
# file on both sides. HTTP/1.1 127.0.0.1:15001 -> :9000, HTTP/2 :15002 -> :9001, TCP :15003 -> :9000.
set -euo pipefail
binary=$(realpath "$1"); mkdir -p "$2"; dir=$(realpath "$2")
cd "$dir"
[ -d ca ] || "$binary" ca init --trust-domain bench.local --dir ca >/dev/null
for side in inbound outbound; do
    "$binary" ca issue --dir ca --id "spiffe://bench.local/$side" --ttl 24h --out $side >/dev/null
    identity="{ trustDomain: bench.local, files: { certificate: $side/svid.pem, key: $side/key.pem, bundle: $side/bundle.pem } }"
    echo "identity: $identity" >$side.yaml
    echo "telemetry: { accessLog: { format: json, to: $side.log } }" >>$side.yaml
done
cat >>outbound.yaml <<Y
outbound:
  - { name: http, listen: "127.0.0.1:15001", protocol: http, service: http }
  - { name: h2, listen: "127.0.0.1:15002", protocol: http, service: h2 }
  - { name: tcp, listen: "127.0.0.1:15003", protocol: tcp, service: tcp }
services:
  - { name: http, identity: "spiffe://bench.local/inbound", endpoints: ["127.0.0.1:15006"] }
  - { name: h2, identity: "spiffe://bench.local/inbound", endpoints: ["127.0.0.1:15007"] }
  - { name: tcp, identity: "spiffe://bench.local/inbound", endpoints: ["127.0.0.1:15008"] }
admin: { listen: "127.0.0.1:15100" }
metrics: { listen: "127.0.0.1:15101" }
health: { listen: "127.0.0.1:15102" }
Y
cat >>inbound.yaml <<Y
inbound:
  - { name: http, listen: "127.0.0.1:15006", app: "127.0.0.1:9000", protocol: http }
  - { name: h2, listen: "127.0.0.1:15007", app: "127.0.0.1:9001", protocol: http }
  - { name: tcp, listen: "127.0.0.1:15008", app: "127.0.0.1:9000", protocol: tcp }
policy: { file: policy.yaml }
admin: { listen: "127.0.0.1:15110" }
metrics: { listen: "127.0.0.1:15111" }
health: { listen: "127.0.0.1:15112" }
Y
{
    echo "default: deny"
    echo "rules:"
    for n in $(seq 1 98); do
        echo "  - { name: rule $n, from: [\"spiffe://bench.local/outbound\", \"spiffe://bench.local/caller$n\"], allow: [{ methods: [GET], paths: [\"/path$n/{id}\"] }] }"
    done
    echo "  - { name: bytes, from: [\"spiffe://bench.local/outbound\"], allow: [{ listeners: [tcp] }] }"
    echo "  - { name: the bench, from: [\"spiffe://bench.local/outbound\"], allow: [{ methods: [GET], paths: [\"/1k\", \"/big\"] }] }"
} >policy.yaml
cat <<J
{"countersign": {"procs": [
   {"role": "inbound", "argv": ["$binary", "proxy", "--config", "$dir/inbound.yaml"], "ready": "127.0.0.1:15006"},
   {"role": "outbound", "argv": ["$binary", "proxy", "--config", "$dir/outbound.yaml"], "ready": "127.0.0.1:15001"}],
 "ports": {"http": "127.0.0.1:15001", "h2": "127.0.0.1:15002", "tcp": "127.0.0.1:15003"},
 "note": "policy of 100 rules, metrics, JSON access log to a file on both sides"}}
J
