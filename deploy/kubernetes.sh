#!/bin/sh
# A prediction on a cluster that KubeRay keeps; see docs/scale.md.
set -eu
helm repo add kuberay https://ray-project.github.io/kuberay-helm/
helm install kuberay-operator kuberay/kuberay-operator
kubectl apply -f ray-cluster.auth.yaml
kubectl exec -it deploy/gwres -- env RAY_ADDRESS=raycluster-head-svc:6379 RAY_AUTH_MODE=token \
    python -m gwres.mlproject.predict --data /data/g2net
