package main

import (
	"github.com/goccy/go-yaml/ast"

	"github.com/bellwire/bellwire/wire"
)

// quota is what one tenant may use of one gateway; 0 is no bound.
type quota struct {
	Connections int
	PublishRate int  // messages per second
	BytesOut    Size // per second
}

// everyTenant is the quota of each tenant that has none of its own.
const everyTenant = "*"

// quotaTable reads quotas by tenant.
func (r *policyReader) quotaTable(node ast.Node) {
	for tenant, value := range r.section("quotas", node) {
		path := "quotas." + tenant
		if tenant != everyTenant {
			if err := (wire.Identity{Tenant: tenant, Device: "x"}).Check(); err != nil {
				r.wrong(r.places[path], path, `%v; or "*" for every tenant without its own`, err)
			}
		}
		r.quotas[tenant] = r.quota(path, value)
	}
}

func (r *policyReader) quota(path string, node ast.Node) quota {
	var q quota
	targets := map[string]any{"connections": &q.Connections, "publish_rate": &q.PublishRate, "bytes_out": &q.BytesOut}
	for key, value := range r.section(path, node, "connections", "publish_rate", "bytes_out") {
		r.number(path+"."+key, value, targets[key])
	}
	return q
}

// number reads one value of a quota. A tenant without a bound says so with 0, not with nothing.
func (r *policyReader) number(path string, node ast.Node, target any) {
	const many, manyBytes = 1 << 30, Size(1 << 40)
	size, isSize := target.(*Size)
	text, ok := scalar(target, node)
	if !ok {
		wanted := "a whole number such as 1000"
		if isSize {
			wanted = "a size such as 1MiB"
		}
		r.wrong(node.GetToken(), path, "is %s, not %s; 0 is no bound", kindOf(node), wanted)
		return
	}
	if err := setText(target, text); err != nil {
		r.wrong(node.GetToken(), path, "%v; 0 is no bound", err)
		return
	}
	if n, isInt := target.(*int); isInt && (*n < 0 || *n > many) {
		r.wrong(node.GetToken(), path, "%d is out of range: write 0 (no bound) to %d", *n, many)
	}
	if isSize && *size > manyBytes {
		r.wrong(node.GetToken(), path, "%s is out of range: write 0 (no bound) to %s", *size, manyBytes)
	}
}
