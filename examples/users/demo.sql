-- SPDX-License-Identifier: PostgreSQL
--
-- users/demo.sql
--	An import and a few changes, and the events that tell them. Needs schema.sql and realtime.sql,
--	and a role that may read realtime.event (a superuser or a member of realtime_notifier).

COPY users.staged (email, name, role) FROM STDIN;
ann@example.com	Ann	admin
Bob@example.com	Bob	\N
not an address	Carl	\N
\.
SELECT users.import_staged() IS NOT NULL AS imported;
SELECT line, email, error FROM users.staged;
UPDATE users.users SET status = 'inactive' WHERE email = 'bob@example.com';
UPDATE users.users SET last_seen_at = now();

SELECT action, id, event #>> '{data,email}' AS email, event #>> '{data,successful}' AS successful,
	event #>> '{data,failed}' AS failed, event #> '{data,errors}' AS errors
FROM realtime.event WHERE feature = 'users' AND action <> 'bulk_progress';
