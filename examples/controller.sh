#!/bin/bash
# A controller of one connector, with socat and jq:  ./controller.sh SOCKET CONNECTOR
socket=$1 connector=$2 energy_wh=1000 applied=-1

# Replace these two by your hardware. set_limit returns when no more than that is drawn.
set_limit() { echo "limit $1"; }
meter_wh() { echo $((energy_wh += 1)); }

coproc HUB { exec socat - "UNIX-CONNECT:$socket"; }
call() { jq -cn --arg method "$1" --argjson params "$2" '{jsonrpc: "2.0", id: 1, $method, $params}' >&"${HUB[1]}"; }
report() { call connector.report "{\"connector_id\": $connector, \"energy_wh\": $(meter_wh), $1}"; }

call controller.attach "{\"connectors\": $connector}"
call subscribe "{\"topics\": [\"connector.permit\"], \"connectors\": $connector}"
report '"plugged": true, "ev_ready": true, "evse_ready": true'

# Permits hold while leases come; without one for 30 s, or when the hub is gone, the loop ends.
lease_ends=$((SECONDS + 30))
while ((SECONDS < lease_ends)) && read -r -t $((lease_ends - SECONDS)) -u "${HUB[0]}" line; do
    read -r method seq limit < <(jq -r '([.. | .permit? // empty] | first) as $permit
        | "\(.method) \($permit.seq // -1) \(if $permit.energize then $permit.limit_a else 0 end)"' <<<"$line")
    if [[ $method == lease ]]; then
        lease_ends=$((SECONDS + 30))
        report '"plugged": true'
    elif ((seq > applied)); then
        echo "permit $seq $limit"
        set_limit "$limit"
        applied=$seq
        report "\"permit_seq\": $seq"
    fi
done
set_limit 0
