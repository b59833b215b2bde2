# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A real registry (Debian's docker-registry) on the scratch host, with TLS and bcrypt passwords, and a tiny image in it.
# To be sourced.
#
#   registry_start USER PASSWORD_FILE   on $REGISTRY; its certificate is $HOST/registry/ca.crt
#   registry_push NAME TAG              puts an image there that sleeps

REGISTRY=192.168.0.162:5000

registry_start() {
    local folder=$HOST/registry
    mkdir "$folder"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=registry -addext \
        "subjectAltName=IP:${REGISTRY%:*}" \
        -keyout "$folder/key" -out "$folder/ca.crt" 2>/dev/null
    htpasswd -iBn "$1" <"$2" >"$folder/htpasswd"
    cat >"$folder/config.yml" <<END
version: 0.1
log: {level: info}
storage: {filesystem: {rootdirectory: $folder/data}}
http:
  addr: $REGISTRY
  tls: {certificate: $folder/ca.crt, key: $folder/key}
auth: {htpasswd: {realm: test, path: $folder/htpasswd}}
END
    printf 'user = "%s:%s"\n' "$1" "$(cat "$2")" >"$folder/curl"
    docker-registry serve "$folder/config.yml" >"$folder/log" 2>&1 &
    eventually registry_curl -o /dev/null "https://$REGISTRY/v2/"
}

registry_curl() {
    curl --config "$HOST/registry/curl" --silent --show-error --fail --cacert "$HOST/registry/ca.crt" "$@"
}

# registry_blob NAME FILE: prints its digest
registry_blob() {
    local place digest
    digest=sha256:$(sha256sum <"$2" | cut -d ' ' -f 1)
    place=$(registry_curl -D - -o /dev/null -X POST "https://$REGISTRY/v2/$1/blobs/uploads/" | tr -d '\r' | sed -n 's/^location: //Ip')
    registry_curl -o /dev/null -X PUT -H 'Content-Type: application/octet-stream' --data-binary "@$2" \
        "$place&digest=$digest"
    echo "$digest"
}

registry_push() {
    local work=$HOST/registry/image layer config
    mkdir -p "$work/root/bin"
    cp "$(command -v busybox)" "$work/root/bin/busybox"
    tar -C "$work/root" --sort=name --owner=0 --group=0 -cf "$work/layer" .
    layer=sha256:$(sha256sum <"$work/layer" | cut -d ' ' -f 1)
    gzip -nc "$work/layer" >"$work/layer.gz"
    jq -n --arg layer "$layer" '{architecture: "amd64", os: "linux", rootfs: {type: "layers", diff_ids: [$layer]},
        config: {Entrypoint: ["/bin/busybox", "sleep", "100000"]}}' >"$work/config"
    layer=$(registry_blob "$1" "$work/layer.gz")
    config=$(registry_blob "$1" "$work/config")
    jq -n --arg layer "$layer" --argjson layer_size "$(stat -c %s "$work/layer.gz")" --arg config "$config" \
        --argjson config_size "$(stat -c %s "$work/config")" '{schemaVersion: 2, mediaType: "application/vnd.docker.distribution.manifest.v2+json",
        config: {mediaType: "application/vnd.docker.container.image.v1+json", size: $config_size, digest: $config},
        layers: [{mediaType: "application/vnd.docker.image.rootfs.diff.tar.gzip", size: $layer_size, digest: $layer}]}' >"$work/manifest"
    registry_curl -o /dev/null -X PUT -H 'Content-Type: application/vnd.docker.distribution.manifest.v2+json' \
        --data-binary "@$work/manifest" "https://$REGISTRY/v2/$1/manifests/$2"
}
