#!/bin/sh
# Makes what the other parts need, once; may run again.
set -eu
driver=/etc/serinus/driver.json
token=/run/metrics/token
# With a umask of 027 only this user and its group could read what Prometheus and Envoy have to.
umask 022

serinus service list | grep -q perfume ||
  serinus service create perfume --stable v0.1.0 --driver envoy --driver-config "$driver" \
    --upstream v0.1.0=production:9001
[ -s "$token" ] ||
  serinus token create prometheus --role viewer --json |
    python -c 'import json, sys; print(json.load(sys.stdin)["token"])' >"$token"
serinus proxy config envoy --driver-config "$driver" >/edge/bootstrap.json

# The monitor writes the routes; Envoy wants to find them when it starts.
for _ in $(seq 60); do
  [ -s /edge/rds.json ] && exit 0
  sleep 1
done
echo "the monitor wrote no routes to /edge" >&2
exit 1
