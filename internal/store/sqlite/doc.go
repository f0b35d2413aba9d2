// Package sqlite keeps the truth in one SQLite file: the embedded store.
//
// It owns the file, its schema and migrations, one connection that writes and a
// few that read. What Update has acknowledged is synced to the disk; a View sees
// one state from beginning to end, and neither waits for the other. A file
// belongs to one gateway at a time, for a directory cannot know what another
// process writes.
//
// It holds no rules: provision decides what may be written. Only app opens it.
package sqlite
