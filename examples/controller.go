// A controller of one connector:  go run controller.go SOCKET CONNECTOR
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net"
	"os"
	"strconv"
	"time"
)

type object = map[string]any

// state is what attach, subscribe, report and the events tell of a connector.
type state struct {
	Permit *struct {
		Seq      int     `json:"seq"`
		Energize bool    `json:"energize"`
		LimitA   float64 `json:"limit_a"`
	} `json:"permit"`
}

type message struct {
	ID     any             `json:"id"`
	Method string          `json:"method"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
	Params struct {
		Value json.RawMessage `json:"value"`
	} `json:"params"`
}

// Replace these two by your hardware. setLimit returns when no more than that is drawn.
func setLimit(amperes float64) { fmt.Printf("limit %g\n", amperes) }
func meterWh() int             { energyWh++; return energyWh }

var energyWh = 1000

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: controller SOCKET CONNECTOR")
	}
	connector, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	hub, err := net.Dial("unix", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	out, in, applied := json.NewEncoder(hub), json.NewDecoder(hub), -1
	call := func(id int, method string, params object) {
		if err := out.Encode(object{"jsonrpc": "2.0", "id": id, "method": method, "params": params}); err != nil {
			log.Print(err)
		}
	}
	report := func(levels object) {
		levels["connector_id"], levels["energy_wh"] = connector, meterWh()
		call(3, "connector.report", levels)
	}
	apply := func(text json.RawMessage) {
		var it state
		if json.Unmarshal(text, &it) != nil || it.Permit == nil || it.Permit.Seq <= applied {
			return
		}
		limit := 0.0
		if it.Permit.Energize {
			limit = it.Permit.LimitA
		}
		applied = it.Permit.Seq
		fmt.Printf("permit %d %g\n", applied, limit)
		setLimit(limit)
		report(object{"permit_seq": applied})
	}

	// Permits hold while leases come; without one for 30 s, or when the hub is gone, the reading ends.
	hub.SetReadDeadline(time.Now().Add(30 * time.Second))
	call(1, "controller.attach", object{"connectors": connector})
	call(2, "subscribe", object{"topics": []string{"connector.permit"}, "connectors": connector})
	report(object{"plugged": true, "ev_ready": true, "evse_ready": true})
	for {
		var it message
		if err := in.Decode(&it); err != nil {
			break
		}
		switch {
		case it.Error != nil:
			log.Print(it.Error.Message)
		case it.Method == "lease":
			hub.SetReadDeadline(time.Now().Add(30 * time.Second))
			report(object{})
		case it.Method == "event":
			apply(it.Params.Value)
		case it.Method != "": // connector.unlock, charge_point.reset: this one cannot
			out.Encode(object{"jsonrpc": "2.0", "id": it.ID, "error": object{"code": -32601, "message": "cannot"}})
		default:
			apply(it.Result)
		}
	}
	setLimit(0)
}
