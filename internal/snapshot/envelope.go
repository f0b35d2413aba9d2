package snapshot

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// The file, all numbers big-endian:
//
//	 0  8  "SALLYSNP"
//	 8  4  format version
//	12  8  the key's fingerprint: which key it was, not what it is
//	20 12  nonce
//	32  8  length of what follows, less the checksum
//	40  n  AES-256-GCM of the JSON text, over the 40 bytes before it too
//	 .  32 SHA-256 of all before it
//
// GCM alone would tell that the file is not what was written; the checksum is
// there to tell an accident of the disk from another key.
const (
	magic       = "SALLYSNP"
	version     = 1
	headerSize  = 40
	nonceOffset = 20
	keySize     = 32
)

// envelope is a file that has its outer form.
type envelope struct {
	header, sealed []byte
}

func fingerprint(key []byte) []byte {
	sum := sha256.Sum256(append([]byte("sallyport snapshot key "), key...))
	return sum[:8]
}

func aead(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// seal makes a file of text.
func seal(key, text []byte) ([]byte, error) {
	gcm, err := aead(key)
	if err != nil {
		return nil, err
	}
	n := len(text) + gcm.Overhead()
	file := make([]byte, headerSize, headerSize+n+sha256.Size)
	copy(file, magic)
	binary.BigEndian.PutUint32(file[8:], version)
	copy(file[12:], fingerprint(key))
	rand.Read(file[nonceOffset : nonceOffset+12])
	binary.BigEndian.PutUint64(file[32:], uint64(n))
	file = gcm.Seal(file, file[nonceOffset:nonceOffset+12], text, file[:headerSize])
	sum := sha256.Sum256(file)
	return append(file, sum[:]...), nil
}

// parse checks the outer form. Its errors go on from "the last-good snapshot PATH".
func parse(file []byte) (*envelope, error) {
	if len(file) < len(magic)+4 {
		return nil, errors.New("is truncated; start with the store, which replaces it")
	}
	if string(file[:8]) != magic {
		return nil, errors.New("is not a snapshot; move it away and start with the store")
	}
	if v := binary.BigEndian.Uint32(file[8:]); v > version {
		// Of a newer format nothing more is known, its checksum's place included.
		return nil, fmt.Errorf("has format %d, and this sallyport reads up to %d; run the version that wrote it or a later one, or start with the store", v, version)
	}
	if len(file) < headerSize+sha256.Size {
		return nil, errors.New("is truncated; start with the store, which replaces it")
	}
	body := file[:len(file)-sha256.Size]
	sum := sha256.Sum256(body)
	if n := binary.BigEndian.Uint64(file[32:]); n > uint64(len(body)-headerSize) {
		return nil, errors.New("is truncated, or its length was changed; start with the store, which replaces it")
	}
	if !bytes.Equal(sum[:], file[len(body):]) || binary.BigEndian.Uint32(file[8:]) != version ||
		binary.BigEndian.Uint64(file[32:]) != uint64(len(body)-headerSize) {
		return nil, errors.New("is damaged or was edited; start with the store, which replaces it")
	}
	return &envelope{header: body[:headerSize], sealed: body[headerSize:]}, nil
}

// open gives the text.
func (e *envelope) open(key []byte) ([]byte, error) {
	if !bytes.Equal(e.header[12:nonceOffset], fingerprint(key)) {
		return nil, errors.New("was written with another key; put its keys/snapshot.key back, or start with the store")
	}
	gcm, err := aead(key)
	if err != nil {
		return nil, err
	}
	text, err := gcm.Open(nil, e.header[nonceOffset:nonceOffset+12], e.sealed, e.header)
	if err != nil { // the checksum fits: whoever edited it knew to mend that
		return nil, errors.New("was edited; start with the store, which replaces it")
	}
	return text, nil
}
