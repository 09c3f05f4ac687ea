package bench

import (
	"encoding/binary"
	"fmt"
)

// mqtt is MQTT 3.1.1 with QoS 0 and a clean session. CONNECT and SUBSCRIBE leave
// in one segment, which the standard allows (section 3.1.4). A publisher pings.
type mqtt struct{}

// The first byte of an MQTT packet: its type and the flags that it must have.
const (
	mqttConnect   = 0x10
	mqttConnack   = 0x20
	mqttPublish   = 0x30 // QoS 0, not retained, no duplicate
	mqttSubscribe = 0x82
	mqttSuback    = 0x90
	mqttPing      = 0xC0
	mqttPong      = 0xD0
)

func (mqtt) topic(name string) string { return name }

func (mqtt) greet(dst []byte, g greeting) []byte {
	id := fmt.Sprintf("bench-device-%010d", g.number) // 23 characters, which every broker must take
	dst = append(dst, mqttConnect, byte(12+len(id)), 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0)
	dst = mqttString(dst, id)
	if g.publisher {
		return append(dst, mqttPing, 0)
	}
	dst = mqttLength(append(dst, mqttSubscribe), 5+len(g.topic))
	dst = mqttString(append(dst, 0, 1), g.topic)
	return append(dst, 0)
}

func (mqtt) publish(dst []byte, to destination, payload []byte) []byte {
	dst = mqttLength(append(dst, mqttPublish), 2+len(to.topic)+len(payload))
	return append(mqttString(dst, to.topic), payload...)
}

func mqttString(dst []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(s))), s...)
}

func mqttLength(dst []byte, n int) []byte {
	for ; n >= 0x80; n >>= 7 {
		dst = append(dst, byte(n)|0x80)
	}
	return append(dst, byte(n))
}

// mqttBody is the packet's body and its whole length; 0: more bytes are needed.
func mqttBody(b []byte) (body []byte, n int, err error) {
	length := 0
	for i := 1; i < len(b); i++ {
		length |= int(b[i]&0x7f) << (7 * (i - 1))
		if b[i] < 0x80 {
			if n = i + 1 + length; n > len(b) {
				return nil, 0, nil
			}
			return b[i+1 : n], n, nil
		}
		if i == 4 {
			return nil, 0, fmt.Errorf("a packet of type %#x whose length has more than four bytes", b[0])
		}
	}
	return nil, 0, nil
}

func (mqtt) frame(b []byte, r *receiver, t *tally) (int, error) {
	body, n, err := mqttBody(b)
	if n == 0 || err != nil {
		return 0, err
	}
	switch b[0] {
	case mqttPublish:
		if len(body) < 2 || len(body) < 2+int(binary.BigEndian.Uint16(body)) {
			return 0, fmt.Errorf("PUBLISH of %d bytes is cut short", len(body))
		}
		topic := body[2 : 2+int(binary.BigEndian.Uint16(body))]
		if err := r.named(topic, t); err != nil {
			return 0, err
		}
		return n, r.message(body[2+len(topic):], t)
	case mqttConnack:
		if len(body) != 2 || body[1] != 0 {
			return 0, fmt.Errorf("the server refused the connection: CONNACK %x", body)
		}
		return n, nil
	case mqttSuback:
		if len(body) != 3 || body[2] != 0 {
			return 0, fmt.Errorf("the subscription was refused: SUBACK %x", body)
		}
		return n, r.answered(t)
	case mqttPong:
		return n, r.answered(t)
	}
	return 0, fmt.Errorf("a packet that no device here expects: type %#x", b[0])
}
