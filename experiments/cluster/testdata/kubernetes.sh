#!/usr/bin/env bash
# Gives the manifests beside this file to a real API server, and fails unless it accepts them and
# its job controller makes their pods, tries an index again whose pod ended with code 1, and gives
# up one whose pod ended with code 2. No pod runs: there is no node.
#
#     experiments/cluster/testdata/kubernetes.sh FOLDER
#
# It needs curl and openssl, and builds etcd and Kubernetes from their Go modules into FOLDER,
# which takes a quarter of an hour on 2 cores. So it is no part of .ci/run.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${1:?expected a folder}/bin" && cd "$1"

if [ ! -x bin/kube-controller-manager ]; then
  requirements=$(go mod download -json k8s.io/kubernetes@v1.37.2 | sed -n 's/.*"GoMod": "\(.*\)",/\1/p')
  printf 'module kubernetes\n\ngo 1.26\n\n' >go.mod
  sed -n 's/^\s*\(k8s\.io\/[a-z-]*\) v0\.0\.0\( .*\)\?$/replace \1 => \1 v0.37.2/p' "$requirements" >>go.mod
  go get -tool k8s.io/kubernetes/cmd/kube-apiserver@v1.37.2 k8s.io/kubernetes/cmd/kube-controller-manager@v1.37.2 \
    go.etcd.io/etcd/server/v3@v3.7.0
  go build -o bin/etcd go.etcd.io/etcd/server/v3
  go build -o bin/ k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kube-controller-manager
fi

rm -rf state && mkdir state
trap 'kill $(jobs -p) 2>/dev/null && wait || true' EXIT
store=http://127.0.0.1:23790 server=https://127.0.0.1:26443
bin/etcd --data-dir state/etcd --listen-client-urls $store --advertise-client-urls $store \
  --listen-peer-urls http://127.0.0.1:0 >state/etcd.log 2>&1 &
openssl genrsa -out state/key 2048 2>/dev/null
echo 'secret,admin,1,system:masters' >state/tokens
bin/kube-apiserver --etcd-servers $store --cert-dir state --bind-address 127.0.0.1 --secure-port ${server##*:} \
  --token-auth-file state/tokens --authorization-mode RBAC --service-cluster-ip-range 10.0.0.0/24 \
  --service-account-issuer $server --service-account-key-file state/key --service-account-signing-key-file state/key >state/server.log 2>&1 &
cat >state/config <<END
apiVersion: v1
kind: Config
clusters: [{name: local, cluster: {server: "$server", insecure-skip-tls-verify: true}}]
users: [{name: admin, user: {token: secret}}]
contexts: [{name: local, context: {cluster: local, user: admin}}]
current-context: local
END
ask() { curl -skf --retry 60 --retry-delay 1 --retry-all-errors -H 'Authorization: Bearer secret' "$@"; }
ask $server/readyz >/dev/null
bin/kube-controller-manager --kubeconfig state/config --controllers job-controller,serviceaccount-controller --leader-elect=false \
  --service-account-private-key-file state/key --cert-dir state --secure-port 0 >state/controller.log 2>&1 &
ask $server/api/v1/namespaces/default/serviceaccounts/default >/dev/null

jobs=$server/apis/batch/v1/namespaces/default/jobs
# until_there TEXT COMMAND...: the command prints that text, within a minute.
until_there() {
  for _ in $(seq 60); do
    [[ $("${@:2}") == *"$1"* ]] && return
    sleep 1
  done
  echo "kubernetes.sh: found no $1 in a minute from: ${*:2}" >&2
  exit 1
}
pods() { ask "$server/api/v1/namespaces/default/pods?labelSelector=batch.kubernetes.io/job-name=$name"; }
# ended INDEX CODE: the pod of that index ends with that code.
ended() {
  pod=$(pods | sed -n "s/^ *\"name\": \"\($name-$1-[a-z0-9]*\)\".*/\1/p")
  ask -o /dev/null -X PATCH -H 'Content-Type: application/strategic-merge-patch+json' \
    "$server/api/v1/namespaces/default/pods/$pod/status" -d '{"status": {"phase": "Failed", "containerStatuses": [
      {"name": "epochal", "image": "i", "imageID": "i", "ready": false, "restartCount": 0,
       "state": {"terminated": {"exitCode": '"$2"', "reason": "Error"}}}]}}'
}
for manifest in least all; do
  # Strict: a field that the server does not know is an error.
  curl -sk --fail-with-body -H 'Authorization: Bearer secret' -X POST -H 'Content-Type: application/yaml' \
    --data-binary @"$here/$manifest.yaml" "$jobs?fieldValidation=Strict" >state/answer || { cat state/answer >&2; exit 1; }
  name=$(sed -n 's/^    "name": "\(epochal-.*\)",/\1/p' state/answer)
  until_there "\"name\": \"$name-1-" pods
  ended 0 2
  ended 1 1
  until_there '"failedIndexes": "0"' ask "$jobs/$name"
  until_there '"batch.kubernetes.io/job-index-failure-count": "1"' pods
  echo "$name: accepted; index 0 was given up after code 2, index 1 is tried again after code 1"
done
