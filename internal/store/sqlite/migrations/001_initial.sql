PRAGMA application_id = 1396788313; -- "SALY"

-- Configuration objects, one row each, as JSON.
CREATE TABLE objects (
	kind     TEXT    NOT NULL,
	name     TEXT    NOT NULL,
	body     BLOB    NOT NULL,
	revision INTEGER NOT NULL,
	updated  INTEGER NOT NULL, -- microseconds since 1970, as all times
	owner    TEXT    NOT NULL,
	PRIMARY KEY (kind, name)
) STRICT;

-- Users. The document holds all of a user, credentials included; the other
-- columns and tables are what it is found by, and are derived from it.
CREATE TABLE users (
	num      INTEGER PRIMARY KEY, -- short, for the other tables; never shown
	id       TEXT    NOT NULL UNIQUE,
	folded   TEXT    NOT NULL UNIQUE, -- the username as it is compared
	kind     TEXT    NOT NULL,
	active   INTEGER NOT NULL,
	expires  INTEGER, -- NULL = never
	revision INTEGER NOT NULL,
	owner    TEXT    NOT NULL,
	created  INTEGER NOT NULL,
	updated  INTEGER NOT NULL,
	doc      TEXT    NOT NULL
) STRICT;

-- Covers counting and paging by kind and by whether they are active.
CREATE INDEX users_by_kind ON users (kind, active, folded);

-- Words by which users are selected: their groups, roles and addresses.
CREATE TABLE words (
	list   TEXT    NOT NULL, -- group, role, email
	word   TEXT    NOT NULL, -- an address is folded
	folded TEXT    NOT NULL, -- the user's, so that pages come in order
	num    INTEGER NOT NULL,
	PRIMARY KEY (list, word, folded)
) STRICT, WITHOUT ROWID;

-- The public names of credentials: key ids, certificate names, links. Each leads
-- to one user, or the wrong one would be let in.
CREATE TABLE credentials (
	kind       TEXT    NOT NULL, -- key, link, or certificate/ and the kind of name
	name       TEXT    NOT NULL, -- key id, provider, or the certificate's name
	subject    TEXT    NOT NULL, -- the provider's subject; '' otherwise
	num        INTEGER NOT NULL,
	credential TEXT    NOT NULL, -- its id in the document
	PRIMARY KEY (kind, name, subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE revisions (
	number  INTEGER PRIMARY KEY,
	time    INTEGER NOT NULL,
	actor   TEXT    NOT NULL,
	reason  TEXT    NOT NULL,
	changes TEXT    NOT NULL,
	restore BLOB
) STRICT;
