-- SPDX-License-Identifier: PostgreSQL
--
-- users/schema.sql
--	Accounts, and a staging table for imports. Nothing in here knows of events; realtime.sql adds
--	them. Remove it with DROP SCHEMA users CASCADE.

CREATE SCHEMA users;

CREATE TABLE users.users (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	email text NOT NULL UNIQUE CHECK (email ~ '^[^@[:space:]]+@[^@[:space:]]+$' AND email = lower(email)),
	name text NOT NULL CHECK (name <> ''),
	role text NOT NULL DEFAULT 'member' CHECK (role IN ('member', 'editor', 'admin')),
	status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive', 'suspended')),
	suspended_because text,
	password_hash text,
	last_seen_at timestamptz,
	CONSTRAINT suspended_has_reason CHECK ((status = 'suspended') = (suspended_because IS NOT NULL))
);

-- Filled by COPY; text only, so that a bad line fails as a row and not as the whole COPY.
CREATE UNLOGGED TABLE users.staged (
	line bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	email text,
	name text,
	role text,
	error text
);
COMMENT ON COLUMN users.staged.error IS 'why the last import refused the line';
