-- SPDX-License-Identifier: PostgreSQL
--
-- app/sql/install.sql
--	All of it, for psql, as a superuser, in an empty database of a cluster that has not got these roles.

\o /dev/null
\ir roles.sql
\ir ../../orders/schema.sql
\ir ../../products/schema.sql
\ir ../../users/schema.sql
\ir schema.sql
\ir ../../orders/realtime.sql
\ir ../../products/realtime.sql
\ir ../../users/realtime.sql
\ir realtime.sql
\ir seed.sql
\o
