-- Logins by browsers. Only a hash of the cookie is kept.
CREATE TABLE sessions (
	id         TEXT    PRIMARY KEY,
	hash       BLOB    NOT NULL UNIQUE,
	user_id    TEXT    NOT NULL,
	username   TEXT    NOT NULL,
	credential TEXT    NOT NULL,
	method     TEXT    NOT NULL,
	provider   TEXT    NOT NULL,
	subject    TEXT    NOT NULL,
	sid        TEXT    NOT NULL,
	created    INTEGER NOT NULL,
	seen       INTEGER NOT NULL,
	expires    INTEGER NOT NULL,
	refresh    INTEGER NOT NULL, -- 0 = never
	address    TEXT    NOT NULL,
	agent      TEXT    NOT NULL,
	claims     BLOB    NOT NULL,
	sealed     BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_provider ON sessions (provider, subject);
CREATE INDEX sessions_by_end ON sessions (expires);
