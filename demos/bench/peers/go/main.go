// The Go server: a goroutine per connection, a semaphore, read and write deadlines, pooled buffers,
// replies flushed when no more input is waiting.
package main

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"sync"
	"time"
)

const (
	limit      = 20000
	silence    = 120 * time.Second
	stall      = 30 * time.Second
	bufferSize = 4 * 1024
	bulkSize   = 64 * 1024
)

var (
	buffers = sync.Pool{New: func() any { b := make([]byte, bufferSize); return &b }}
	bulks   = sync.Pool{New: func() any { b := make([]byte, bulkSize); return &b }}
	readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, bufferSize) }}
	writers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, bufferSize) }}
	pattern = makePattern()
)

func makePattern() []byte {
	bytes := make([]byte, bulkSize)
	for i := range bytes {
		bytes[i] = byte(i)
	}
	return bytes
}

// deadlines sets a deadline before every system call that may wait.
type deadlines struct{ net.Conn }

func (c deadlines) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(silence)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c deadlines) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(stall)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

func echo(c net.Conn) error {
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	for {
		n, err := c.Read(*buffer)
		if err != nil {
			return err
		}
		if _, err := c.Write((*buffer)[:n]); err != nil {
			return err
		}
	}
}

// framed answers every frame with itself. The writer is held only while it contains replies, so that a waiting
// connection holds one buffer instead of two.
func framed(c net.Conn, next func(*bufio.Reader, *bufio.Writer) error) error {
	r := readers.Get().(*bufio.Reader)
	r.Reset(c)
	defer func() { r.Reset(nil); readers.Put(r) }()
	for {
		if _, err := r.Peek(1); err != nil {
			return err
		}
		w := writers.Get().(*bufio.Writer)
		w.Reset(c)
		err := next(r, w)
		for err == nil && r.Buffered() > 0 {
			err = next(r, w)
		}
		if err == nil {
			err = w.Flush()
		}
		w.Reset(nil)
		writers.Put(w)
		if err != nil {
			return err
		}
	}
}

// once answers one line. The caller closes the connection.
func once(c net.Conn) error {
	r := readers.Get().(*bufio.Reader)
	r.Reset(c)
	defer func() { r.Reset(nil); readers.Put(r) }()
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	_, err = c.Write(line)
	return err
}

func line(r *bufio.Reader, w *bufio.Writer) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	_, err = w.Write(line)
	return err
}

func lengthPrefixed(r *bufio.Reader, w *bufio.Writer) error {
	header, err := r.Peek(4)
	if err != nil {
		return err
	}
	size := 4 + int(binary.BigEndian.Uint32(header))
	if size > bufferSize {
		return errors.New("frame too long")
	}
	frame, err := r.Peek(size)
	if err != nil {
		return err
	}
	if _, err := w.Write(frame); err != nil {
		return err
	}
	_, err = r.Discard(size)
	return err
}

func discard(c net.Conn) error {
	buffer := bulks.Get().(*[]byte)
	defer bulks.Put(buffer)
	var count uint64
	for {
		n, err := c.Read(*buffer)
		count += uint64(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	var reply [8]byte
	binary.BigEndian.PutUint64(reply[:], count)
	_, err := c.Write(reply[:])
	return err
}

func source(c net.Conn) error {
	var request [8]byte
	if _, err := io.ReadFull(c, request[:]); err != nil {
		return err
	}
	for left := binary.BigEndian.Uint64(request[:]); left > 0; {
		block := pattern
		if left < uint64(len(block)) {
			block = block[:left]
		}
		if _, err := c.Write(block); err != nil {
			return err
		}
		left -= uint64(len(block))
	}
	_, err := c.Read(request[:])
	return err
}

func main() {
	mode := flag.String("mode", "", "what to do with what is read")
	host := flag.String("host", "127.0.0.1", "address to listen on")
	port := flag.Int("port", 0, "port to listen on, 0 for any")
	flag.Parse()
	handlers := map[string]func(net.Conn) error{
		"echo":            echo,
		"lines":           func(c net.Conn) error { return framed(c, line) },
		"once":            once,
		"length-prefixed": func(c net.Conn) error { return framed(c, lengthPrefixed) },
		"discard":         discard,
		"source":          source,
		"tls":             echo,
	}
	handle, ok := handlers[*mode]
	if !ok {
		log.Fatalf("Cannot start: there is no mode %q here", *mode)
	}
	listener, err := net.Listen("tcp4", fmt.Sprintf("%s:%d", *host, *port))
	if err != nil {
		log.Fatal(err)
	}
	if *mode == "tls" {
		certificate, err := tls.X509KeyPair([]byte(os.Getenv("BENCH_CERT")), []byte(os.Getenv("BENCH_KEY")))
		if err != nil {
			log.Fatal(err)
		}
		// An accepted connection begins its handshake with its first read.
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{certificate}})
	}
	fmt.Printf("listening on %s\n", listener.Addr())
	semaphore := make(chan struct{}, limit)
	for {
		semaphore <- struct{}{}
		c, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			defer func() { <-semaphore }()
			defer c.Close()
			// Ignored: the error of a peer that left, or was silent for too long, needs no action.
			_ = handle(deadlines{c})
		}()
	}
}
