package main

import (
	"slices"
	"strings"
)

// setting is a row of settingTable.
type setting struct {
	key    string                // in the file, sections joined by dots
	value  string                // default, as one would write it
	what   string                // what it is, with its unit
	why    string                // why the default is what it is
	target func(s *Settings) any // where it is kept
}

// flag is the command-line form of the key: limits.pending_bytes is --limits-pending-bytes.
func (s setting) flag() string {
	return strings.NewReplacer(".", "-", "_", "-").Replace(s.key)
}

// section is the part of the key before its last dot.
func (s setting) section() string {
	return s.key[:max(0, strings.LastIndexByte(s.key, '.'))]
}

// live says whether a running gateway takes the setting over on SIGHUP.
func (s setting) live() bool {
	if slices.Contains(fixedLimits, s.key) || strings.HasPrefix(s.key, "limits.replay.") {
		return false
	}
	for _, section := range []string{"limits.", "tls.", "tokens.", "fleet."} {
		if strings.HasPrefix(s.key, section) {
			return true
		}
	}
	return slices.Contains([]string{"log.level", "revoked", "policy"}, s.key)
}

// fixedLimits are what a gateway sizes its memory by when it starts; the replay rings are as well.
var fixedLimits = []string{
	"limits.frame", "limits.topics", "limits.topics_per_tenant", "limits.links", "limits.publish_pool", "limits.send_buffer", "limits.memory",
}

// defaultCentral is where topics that are not broadcast go unless someone says otherwise.
const defaultCentral = centralEmbedded

// defaultCluster is the name of a fleet that has no other.
const defaultCluster = "bellwire"

// settingTable is the one place where keys, defaults and their reasons stand, in the order in which they are shown.
var settingTable = []setting{
	{
		"name", "", "what the gateway calls itself in logs, metrics and answers; empty: host name and port",
		"host name and port tell the gateways of a fleet apart without any work",
		func(s *Settings) any { return &s.Name },
	},
	{
		"listen", "127.0.0.1:7311", "address for devices, host:port; port 0 finds a free one",
		"plain TCP belongs on loopback until someone says otherwise",
		func(s *Settings) any { return &s.Listen },
	},
	{
		"listen_tls", "", "address for devices that speak TLS 1.3, host:port, 7315 by custom; empty: none; then listen may be off",
		"TLS needs a certificate, which nobody can make for you: see bellwire cert",
		func(s *Settings) any { return &s.ListenTLS },
	},
	{
		"admin", "127.0.0.1:7312", "address for health, metrics and the admin view, host:port, or off",
		"without tokens it asks for no password, so it answers this machine only",
		func(s *Settings) any { return &s.Admin },
	},
	{
		"admin_auth", "off", "what the admin address asks for: off, or token, which bellwire token issue --admin makes; then it speaks TLS as well if tls.certificate is set",
		"on loopback whoever can connect has a login of this machine; anywhere else tokens and TLS have to be",
		func(s *Settings) any { return &s.AdminAuth },
	},
	{
		"pprof", "false", "serve Go profiles on the admin address",
		"a profile shows the inside of the process and costs CPU while it is taken",
		func(s *Settings) any { return &s.Pprof },
	},
	{
		"loops", "0", "event loops, at most 64; 0: one per core",
		"a loop never waits, so one per core uses the machine",
		func(s *Settings) any { return &s.Loops },
	},
	{
		"insecure", "false", "allow plain TCP on addresses that are not loopback",
		"everyone on the way can read and forge plain TCP",
		func(s *Settings) any { return &s.Insecure },
	},
	{
		"broadcast", "broadcast/#", "filters of the topics that are broadcast, the same on every gateway of a fleet",
		"one visible prefix makes it plain which topics reach everyone",
		func(s *Settings) any { return &s.Broadcast },
	},

	{
		"cluster", defaultCluster, "name of the fleet; gateways of another one are refused, and its subjects in the central service begin with bw-NAME, where a dot is written _ (a.b and a_b must not share one), or with bw for the default",
		"two fleets that meet by mistake stay two as soon as one has a name of its own",
		func(s *Settings) any { return &s.Cluster },
	},
	{
		"peer_listen", "", "address for the other gateways of the fleet, host:port, 7313 by custom; empty: none",
		"a gateway that is alone needs none; beyond loopback it takes the certificates of fleet.ca, fleet.cert and fleet.key",
		func(s *Settings) any { return &s.PeerListen },
	},
	{
		"peer", "", "addresses of other gateways to link to, each its peer_listen, at most 32; those that a shared central lists are found without",
		"one that names another is enough for both; who is away is tried again for ever",
		func(s *Settings) any { return &s.Peer },
	},
	{
		"peer_advertise", "", "address at which the other gateways reach peer_listen, host:port; empty: that of peer_listen",
		"only behind a translated address, or where peer_listen is every address, is it another one",
		func(s *Settings) any { return &s.PeerAdvertise },
	},
	{
		"fleet.ca", "", "who issues the certificates of the fleet's gateways, a PEM file",
		"it is another CA than that of devices, so that no device is ever taken for a gateway: bellwire cert fleet-ca",
		func(s *Settings) any { return &s.Fleet.CA },
	},
	{
		"fleet.cert", "", "this gateway's certificate for the others, with its chain, a PEM file",
		"a gateway speaks only for the name in it: bellwire cert fleet",
		func(s *Settings) any { return &s.Fleet.Cert },
	},
	{
		"fleet.key", "", "private key of fleet.cert, a PEM file that only its owner can read",
		"whoever has it can be this gateway, so a file that others can read is refused",
		func(s *Settings) any { return &s.Fleet.Key },
	},
	{
		"central", defaultCentral, "the central service, for topics that are not broadcast: embedded, off, or nats://HOST:PORT,HOST:PORT, which another gateway offers or a NATS cluster; tls:// insists on TLS",
		"one gateway works without anything beside it; gateways that share one see the same",
		func(s *Settings) any { return &s.Central },
	},
	{
		"central_listen", "", "address at which the embedded central service is offered to other gateways and to NATS clients, host:port, 7314 by custom; empty: to nobody",
		"in one process it needs no port, and who may use it decides who sees the topics of all devices",
		func(s *Settings) any { return &s.CentralListen },
	},
	{
		"data", "", "directory in which the embedded central service keeps what it stores, and every gateway what it knew last of the fleet's policy and broadcast filters; empty: in memory",
		"a disk is for what must outlive the gateway, and that is for you to say",
		func(s *Settings) any { return &s.Data },
	},

	{
		"tls.certificate", "", "the gateway's certificate, with its chain, a PEM file",
		"it names what devices connect to, which only you know: bellwire cert issue --gateway makes one",
		func(s *Settings) any { return &s.TLS.Certificate },
	},
	{
		"tls.key", "", "private key of the certificate, a PEM file that only its owner can read",
		"whoever has it can be this gateway, so a file that others can read is refused",
		func(s *Settings) any { return &s.TLS.Key },
	},
	{
		"tls.device_ca", "", "who may issue device certificates: PEM files; TENANT=FILE binds one to a tenant; empty: nobody",
		"a certificate is a name only where its issuer is believed",
		func(s *Settings) any { return &s.TLS.DeviceCA },
	},
	{
		"tls.crl", "", "certificates that are revoked: lists of the issuers, PEM or DER files",
		"most small fleets revoke by name, in the file that revoked names",
		func(s *Settings) any { return &s.TLS.CRL },
	},
	{
		"tls.mapping", "uri:bellwire://{tenant}/{device}", "how a certificate names a device: uri:, dns: or cn: and a pattern",
		"a URI among its names is made for this, and cannot be taken for a host",
		func(s *Settings) any { return &s.TLS.Mapping },
	},
	{
		"tls.curves", "auto", "key exchange: auto, or x25519 for devices to which 2 KiB more in a handshake matter",
		"auto is also safe against who records today and decrypts in twenty years",
		func(s *Settings) any { return &s.TLS.Curves },
	},
	{
		"tls.tickets", "", "secrets that session tickets are made with, a file that the fleet shares; empty: of this process alone",
		"with one file devices resume at any gateway; without, at the one that they know",
		func(s *Settings) any { return &s.TLS.Tickets },
	},
	{
		"tokens.keys", "", "whose tokens are believed: Ed25519 public keys, PEM files; TENANT=FILE binds one to a tenant; empty: nobody's",
		"who signs tokens decides who devices are, and that is for you to say: bellwire token key makes a pair",
		func(s *Settings) any { return &s.Tokens.Keys },
	},
	{
		"tokens.static", "", "keys of single devices, a file of hashes; empty: none",
		"for a dozen devices this is all that is needed: bellwire token issue --static",
		func(s *Settings) any { return &s.Tokens.Static },
	},
	{
		"revoked", "", "devices, tokens and certificates that are not believed any more, a file of lines such as device acme/kitchen, token ID or certificate SERIAL; empty: none",
		"one line and a reload take a device off within a second",
		func(s *Settings) any { return &s.Revoked },
	},
	{
		"policy", "", "who may publish and subscribe what, and how much a tenant may use, a YAML file; empty: everyone everything. While the fleet has a policy stored (bellwire fleet policy), that one takes its place",
		"once there is a policy, what it does not allow is denied",
		func(s *Settings) any { return &s.Policy },
	},
	{
		"proxy_from", "", "networks of proxies that begin each connection with a PROXY protocol v2 header, as 10.0.0.0/8; empty: none",
		"whoever may send the header may say that it is anyone",
		func(s *Settings) any { return &s.ProxyFrom },
	},
	{
		"audit", "log", "where refusals are written, to devices and admins: log, off, or a file, which gets a JSON object a line and is opened anew on SIGHUP",
		"who is kept out, and why, is what one asks first after an incident; each kind has a rate, so the log does not grow with an attack",
		func(s *Settings) any { return &s.Audit },
	},

	{
		"log.level", "info", "least level that is logged: debug, info, warn or error",
		"info is silent about single devices, so the log does not grow with the fleet",
		func(s *Settings) any { return &s.Log.Level },
	},
	{
		"log.format", "auto", "form of the log: text, json, or auto, which is text on a terminal and JSON otherwise",
		"a person reads text, a collector reads JSON",
		func(s *Settings) any { return &s.Log.Format },
	},

	{
		"limits.connections", "0", "connected devices; 0: what the descriptor limit leaves after a reserve for loops, admin API and files",
		"each device takes one descriptor, and a gateway without any left accepts nobody",
		func(s *Settings) any { return &s.Limits.Connections },
	},
	{
		"limits.frame", "64KiB", "largest frame taken from a device, header included; a power of two, 1KiB to 1MiB",
		"larger things are streams, not messages, and would hold up what waits behind them",
		func(s *Settings) any { return &s.Limits.Frame },
	},
	{
		"limits.subscriptions", "64", "subscriptions of one device",
		"a device that needs more wants a wildcard; each costs the gateway memory",
		func(s *Settings) any { return &s.Limits.Subscriptions },
	},
	{
		"limits.topics", "1000000", "topics known to the gateway since it started, over all tenants",
		"the index is measured at this size, which is about 250 MB; the id of a topic is never given again",
		func(s *Settings) any { return &s.Limits.Topics },
	},
	{
		"limits.topics_per_tenant", "100000", "topics known to the gateway since it started, of one tenant",
		"one tenant cannot use up the ids of all",
		func(s *Settings) any { return &s.Limits.TopicsPerTenant },
	},
	{
		"limits.topic_rate", "10000", "new topics per second, of one tenant",
		"names stay, so a scheme of naming that ran away is slowed down",
		func(s *Settings) any { return &s.Limits.TopicRate },
	},
	{
		"limits.links", "2000000", "topics times the wildcards that may match them, of one tenant, for each event loop",
		"about 64 MB, twenty wildcards that match all topics of a tenant; then new wildcards and topics are refused",
		func(s *Settings) any { return &s.Limits.Links },
	},
	{
		"limits.pending_bytes", "256KiB", "bytes that may wait for one slow device before its policy drops some",
		"as much as a replay ring holds: what is dropped can still be asked for",
		func(s *Settings) any { return &s.Limits.PendingBytes },
	},
	{
		"limits.pending_messages", "2048", "messages that may wait for one slow device; four times as many, with gaps and answers, close it",
		"each takes some memory beside its bytes, which counts when the messages are small",
		func(s *Settings) any { return &s.Limits.PendingMessages },
	},
	{
		"limits.pending_age", "10s", "how long a message may wait for a slow device",
		"older than this it is news no more, and the device does better to catch up",
		func(s *Settings) any { return &s.Limits.PendingAge },
	},
	{
		"limits.stuck_after", "5s", "time after which a device that takes nothing at all is closed",
		"it can come back and resume, and its buffers serve others until then",
		func(s *Settings) any { return &s.Limits.StuckAfter },
	},
	{
		"limits.send_buffer", "64KiB", "what the kernel may hold for one device; Linux doubles it",
		"what waits there is out of the reach of every policy",
		func(s *Settings) any { return &s.Limits.SendBuffer },
	},
	{
		"limits.user_timeout", "30s", "time that data may stay unacknowledged before a link counts as dead",
		"long enough for a mobile cell to change, short enough not to keep the dead",
		func(s *Settings) any { return &s.Limits.UserTimeout },
	},
	{
		"limits.publish_credit", "128KiB", "bytes one device may publish before the gateway has dealt with them",
		"two largest frames, so that one can be sent while another is dealt with",
		func(s *Settings) any { return &s.Limits.PublishCredit },
	},
	{
		"limits.publish_pool", "32MiB", "memory of all messages under way; each takes its bytes, 128, and 96 for each loop that it goes to",
		"it bounds every queue between event loops, whatever devices do",
		func(s *Settings) any { return &s.Limits.PublishPool },
	},
	{
		"limits.authenticate_within", "5s", "time from connecting to being known",
		"a slow mobile link needs a second or two; a silent connection only takes a descriptor",
		func(s *Settings) any { return &s.Limits.AuthenticateWithin },
	},
	{
		"limits.authenticating", "4096", "devices that are being authenticated at the same time; others are told to come back later",
		"each takes a goroutine and a request to whoever knows the devices",
		func(s *Settings) any { return &s.Limits.Authenticating },
	},
	{
		"limits.handshakes", "4096", "TLS handshakes under way at the same time; when there are more, the oldest goes",
		"each takes a goroutine and some 30 KiB, and one that hangs is an old one",
		func(s *Settings) any { return &s.Limits.Handshakes },
	},
	{
		"limits.unproven_per_network", "auto", "connections of one IPv4 address, or IPv6 /64, that have not proven who they are; off, or auto: 256 except on loopback",
		"proven devices do not count, so a fleet behind one address is not hurt",
		func(s *Settings) any { return &s.Limits.UnprovenPerNetwork },
	},
	{
		"limits.connect_rate_per_network", "auto", "new connections per second of one IPv4 address, or IPv6 /64; off, or auto: 100/s except on loopback",
		"one network cannot take all of limits.connect_rate",
		func(s *Settings) any { return &s.Limits.ConnectRatePerNetwork },
	},
	{
		"limits.connect_rate", "auto", "new connections per second; off, or auto: 1000/s except on loopback",
		"a fleet that comes back at once must not starve the devices that are already there",
		func(s *Settings) any { return &s.Limits.ConnectRate },
	},
	{
		"limits.publish_rate", "auto", "messages per second from one device; off, or auto: 1000/s except on loopback",
		"no device has that much to say; one that does is broken",
		func(s *Settings) any { return &s.Limits.PublishRate },
	},
	{
		"limits.replays", "64", "topics of one device that are read from what streams keep, at the same time",
		"as many as it may have subscriptions, so a device can come back to all of them at once",
		func(s *Settings) any { return &s.Limits.Replays },
	},
	{
		"limits.memory", "auto", "memory of the process: a size, off, or auto, which is the limit of its cgroup; from 75 % of it on connections, then queues, then slow devices' messages are given up",
		"a gateway that sheds some load is better than one that the kernel kills",
		func(s *Settings) any { return &s.Limits.Memory },
	},
	{
		"limits.keepalive.min", "30s", "shortest interval of keepalives that a device may choose",
		"shorter ones empty batteries and load the gateway for little",
		func(s *Settings) any { return &s.Limits.Keepalive.Min },
	},
	{
		"limits.keepalive.default", "10m", "interval of keepalives for a device that does not ask for one",
		"shorter than the time after which most networks forget an idle connection",
		func(s *Settings) any { return &s.Limits.Keepalive.Default },
	},
	{
		"limits.keepalive.max", "1h", "longest interval of keepalives that a device may choose",
		"a device that vanished keeps its place for one and a half intervals",
		func(s *Settings) any { return &s.Limits.Keepalive.Max },
	},
	{
		"limits.replay.messages", "256", "messages that a stream keeps for devices that come back",
		"enough for a reconnect, which takes seconds",
		func(s *Settings) any { return &s.Limits.Replay.Messages },
	},
	{
		"limits.replay.bytes", "256KiB", "bytes that a stream keeps; a larger message is not kept",
		"one stream of large messages must not push out all the others",
		func(s *Settings) any { return &s.Limits.Replay.Bytes },
	},
	{
		"limits.replay.age", "2m", "how long a stream keeps a message, at most",
		"a device that is away for longer starts afresh",
		func(s *Settings) any { return &s.Limits.Replay.Age },
	},
	{
		"limits.replay.total", "64MiB", "bytes kept by all streams together, shared out by tenant",
		"replay is a service with a price, and this is the price",
		func(s *Settings) any { return &s.Limits.Replay.Total },
	},

	{
		"drain.spread", "10s", "on shutdown, the time over which devices are told to leave",
		"their reconnects reach the other gateways as a stream, not as a blow",
		func(s *Settings) any { return &s.Drain.Spread },
	},
	{
		"drain.within", "5s", "after the last was told, the time until those that stayed are closed",
		"enough to acknowledge what is under way",
		func(s *Settings) any { return &s.Drain.Within },
	},
}

// settingByKey finds a row, or says that there is none.
func settingByKey(key string) (setting, bool) {
	for _, row := range settingTable {
		if row.key == key {
			return row, true
		}
	}
	return setting{}, false
}

// defaultSettings are the settings of a gateway that nobody told anything. A default that cannot be read is an error
// in settingTable, which the tests rule out.
func defaultSettings() (Settings, error) {
	var s Settings
	for _, row := range settingTable {
		if err := setText(row.target(&s), row.value); err != nil {
			return Settings{}, &settingsError{[]settingsProblem{{origin: origin{kind: fromDefault}, key: row.key, text: err.Error()}}}
		}
	}
	return s, nil
}
