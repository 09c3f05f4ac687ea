package central

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Errors of records, to errors.Is.
var (
	// ErrNotFound: there is no record of that key.
	ErrNotFound = errors.New("central: no such record")
	// ErrExists: there is one.
	ErrExists = errors.New("central: the record exists")
	// ErrRevision: somebody has changed it since.
	ErrRevision = errors.New("central: the record was changed by somebody else")
)

// Store is the fleet's shared records: bytes with revisions. A key is 1 to MaxKey bytes,
// with dots between its parts by convention, so that those below one part can be watched.
// A value is at most MaxRecord bytes, and means what the package that owns it says: what
// is read was written by others.
//
// All methods ask the service and wait for it until ctx ends, five seconds at most. While
// it is away, has no quorum or no room, their error is ErrAway: whether a write was done
// then is not known.
type Store struct {
	c      *Central
	config func(l *link) jetstream.KeyValueConfig

	mu   sync.Mutex
	link *link // that kv is of
	kv   jetstream.KeyValue
}

// Records is the store of the fleet's configuration.
func (c *Central) Records() *Store { return c.records }

func newStore(c *Central, name string, config jetstream.KeyValueConfig) *Store {
	return &Store{c: c, config: func(l *link) jetstream.KeyValueConfig {
		k := config
		k.Bucket, k.History, k.MaxValueSize, k.Replicas = c.cfg.Prefix+"-"+name, 1, MaxRecord, c.replicas(l)
		if c.server != nil && c.cfg.Embedded.Dir == "" {
			k.Storage = jetstream.MemoryStorage
		}
		return k
	}}
}

// bucket is where the records are; it is made by whoever comes first.
func (s *Store) bucket(ctx context.Context, l *link) (jetstream.KeyValue, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link == l {
		return s.kv, nil
	}
	config := s.config(l)
	kv, err := l.js.KeyValue(ctx, config.Bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = l.js.CreateKeyValue(ctx, config)
	}
	if errors.Is(err, jetstream.ErrBucketExists) { // by somebody else, with other settings
		kv, err = l.js.KeyValue(ctx, config.Bucket)
	}
	if err != nil {
		return nil, err
	}
	if config.TTL > 0 {
		if err := age(ctx, l, kv, config.TTL); err != nil && ctx.Err() == nil {
			s.c.log.Warn("central: old records do not go by themselves", "bucket", config.Bucket, "error", err)
		}
	}
	s.link, s.kv = l, kv
	return kv, nil
}

// age has the records of a bucket that others have made, such as an older version, go after a time. All else in it stays
// as it is.
func age(ctx context.Context, l *link, kv jetstream.KeyValue, ttl time.Duration) error {
	status, err := kv.Status(ctx)
	if err != nil || status.TTL() == ttl {
		return err
	}
	config := status.Config()
	config.TTL = ttl
	_, err = l.js.UpdateKeyValue(ctx, config)
	return err
}

// do runs one request, on a bucket that is there.
func (s *Store) do(ctx context.Context, what, key string, fn func(ctx context.Context, kv jetstream.KeyValue, key string) error) error {
	fail := func(err error) error { return fmt.Errorf("central: %s record %q: %w", what, key, err) }
	if err := checkKey(key); err != nil {
		return fail(err)
	}
	l, _ := s.c.link()
	if l == nil {
		return fail(ErrAway)
	}
	ctx, cancel := l.during(ctx)
	defer cancel()
	kv, err := s.bucket(ctx, l)
	if err == nil {
		err = fn(ctx, kv, escapeKey(key))
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return fail(ErrNotFound)
	case errors.Is(err, jetstream.ErrKeyExists), errors.Is(err, jetstream.ErrKeyRevisionMismatch), errors.Is(err, errWrongSequence):
		if what == creating { // the client has one error for both
			return fail(ErrExists)
		}
		return fail(ErrRevision)
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, jetstream.ErrStreamNotFound):
		s.forget(l) // the bucket was deleted, perhaps; the next one makes it
	}
	return fail(l.plain(err))
}

const creating = "create"

// errWrongSequence is what a bucket with replicas answers to who creates a deleted record a moment after somebody else:
// the client makes no error of its own of it.
var errWrongSequence = &jetstream.APIError{ErrorCode: jetstream.JSErrCodeStreamWrongLastSequenceConstant}

func (s *Store) forget(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link == l {
		s.link, s.kv = nil, nil
	}
}

// Get reads a record, and its revision. ErrNotFound: there is none.
func (s *Store) Get(ctx context.Context, key string) (value []byte, revision uint64, err error) {
	err = s.do(ctx, "get", key, func(ctx context.Context, kv jetstream.KeyValue, key string) error {
		e, err := kv.Get(ctx, key)
		if err == nil {
			value, revision = e.Value(), e.Revision()
		}
		return err
	})
	return value, revision, err
}

// Put writes a record, whatever it was before.
func (s *Store) Put(ctx context.Context, key string, value []byte) (revision uint64, err error) {
	return s.write(ctx, "put", key, value, func(ctx context.Context, kv jetstream.KeyValue, key string) (uint64, error) {
		return kv.Put(ctx, key, value)
	})
}

// Create writes a record that is not there. ErrExists: it is.
func (s *Store) Create(ctx context.Context, key string, value []byte) (revision uint64, err error) {
	return s.write(ctx, creating, key, value, func(ctx context.Context, kv jetstream.KeyValue, key string) (uint64, error) {
		return kv.Create(ctx, key, value)
	})
}

// Update writes a record that nobody has changed since a revision. ErrRevision: somebody
// has, or deleted it.
func (s *Store) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	return s.write(ctx, "update", key, value, func(ctx context.Context, kv jetstream.KeyValue, key string) (uint64, error) {
		return kv.Update(ctx, key, value, revision)
	})
}

func (s *Store) write(ctx context.Context, what, key string, value []byte, fn func(ctx context.Context, kv jetstream.KeyValue, key string) (uint64, error)) (revision uint64, err error) {
	if len(value) > MaxRecord {
		return 0, fmt.Errorf("central: %s record %q: %d bytes, want at most %d", what, key, len(value), MaxRecord)
	}
	if why := s.c.Problem(); why != nil { // the server would not answer
		return 0, fmt.Errorf("central: %s record %q: %w: %w", what, key, ErrAway, why)
	}
	err = s.do(ctx, what, key, func(ctx context.Context, kv jetstream.KeyValue, key string) error {
		var err error
		revision, err = fn(ctx, kv, key)
		return err
	})
	return revision, err
}

// Delete removes a record that nobody has changed since a revision; 0: whatever it is.
func (s *Store) Delete(ctx context.Context, key string, revision uint64) error {
	return s.do(ctx, "delete", key, func(ctx context.Context, kv jetstream.KeyValue, key string) error {
		var opts []jetstream.KVDeleteOpt
		if revision != 0 {
			opts = append(opts, jetstream.LastRevision(revision))
		}
		return kv.Delete(ctx, key, opts...)
	})
}

func checkKey(key string) error {
	if key == "" || len(key) > MaxKey {
		return fmt.Errorf("key: want 1 to %d bytes", MaxKey)
	}
	return nil
}

// escapeKey writes a key with the letters that NATS allows in one: what it does not is
// =XX, as is a dot that would make an empty part.
func escapeKey(key string) string {
	b := make([]byte, 0, len(key)+8)
	for i := range len(key) {
		c := key[i]
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '/'
		if c == '.' {
			plain = i > 0 && i < len(key)-1 && b[len(b)-1] != '.'
		}
		if plain {
			b = append(b, c)
		} else {
			b = append(b, '=', digits[c>>4], digits[c&15])
		}
	}
	return string(b)
}

// unescapeKey is the reverse of escapeKey; false for what that never makes.
func unescapeKey(s string) (string, bool) {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '=' {
			if i+2 >= len(s) {
				return "", false
			}
			hi, lo := strings.IndexByte(digits, s[i+1]), strings.IndexByte(digits, s[i+2])
			if hi < 0 || lo < 0 {
				return "", false
			}
			c = byte(hi<<4 | lo)
			i += 2
		}
		b = append(b, c)
	}
	key := string(b)
	return key, escapeKey(key) == s
}
