-- SPDX-License-Identifier: PostgreSQL
--
-- app/sql/realtime.sql
--	Events for what app/sql/schema.sql adds, and who may run the bulk operations. Needs the three
--	realtime.sql.

-- A lock is a row: who has it is in the snapshot, and that it ends is an event, like everything else.
SELECT realtime.enable('orders.locks', 'orders', 'lock');

SELECT realtime.grant_emit('orders', 'order', 'web_user');
SELECT realtime.grant_emit('orders', 'order', 'web_admin');
SELECT realtime.grant_emit('products', 'product', 'web_admin');
SELECT realtime.grant_emit('users', 'user', 'web_admin');
