#!/usr/bin/env bash
# Makes a CA and a server certificate for local work: certs/dev.sh [NAME...]
# Writes tls.crt, tls.key and ca.crt to certs/out/, which Git ignores.
set -euo pipefail
cd "$(dirname "$0")"
names=("${@:-localhost}")
umask 077
mkdir -p out
san=""
for name in "${names[@]}"; do
  if [[ $name =~ ^[0-9.]+$|: ]]; then san+="IP:$name,"; else san+="DNS:$name,"; fi
done
new_key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }
new_key out/ca.key
openssl req -x509 -new -key out/ca.key -days 30 -subj "/CN=tidegate development CA" -out out/ca.crt
new_key out/tls.key
openssl req -new -key out/tls.key -subj "/CN=${names[0]}" -out out/tls.csr
openssl x509 -req -in out/tls.csr -CA out/ca.crt -CAkey out/ca.key -CAcreateserial -days 30 -out out/tls.crt \
  -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth\n' "${san%,}") 2>/dev/null
rm -f out/tls.csr out/ca.key out/ca.srl
echo "certs/out/tls.crt, certs/out/tls.key, certs/out/ca.crt for: ${names[*]}"
