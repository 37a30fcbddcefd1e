// SPDX-License-Identifier: PostgreSQL
//
// systemd.test.js
//	What a service manager is told: ready after the first read, the watchdog fed, the end announced. Node has
//	no datagram sockets of the file system: perl, which every Debian has, receives for us.

import test from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import path from 'node:path';
import { Stage } from './lib/stage.js';
import { until } from './lib/wait.js';

const stage = await Stage.open('systemd', { isStarted: false });
const socket = path.join(stage.directory, 'notify');
const heard = [];
const receiver = spawn('perl', ['-MIO::Socket::UNIX', '-e', `
	my $s = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $ARGV[0]) or die "$!";
	$| = 1;
	print "listening\\n";
	while (defined $s->recv(my $m, 4096)) { print "$m\\n"; }`, socket],
{ stdio: ['ignore', 'pipe', 'inherit'] });
receiver.stdout.on('data', (data) => heard.push(...String(data).trim().split('\n')));
test.after(() => receiver.kill());

test('READY after the first read, WATCHDOG while it works, STOPPING at the end', async () =>
{
	await until('the receiver', () => heard.includes('listening'));
	stage.notifier = await stage.start({
		environment: { NOTIFY_SOCKET: socket, WATCHDOG_USEC: '200000' } });
	await until('READY', () => heard.includes('READY=1'));
	await until('the watchdog is fed again and again',
		() => heard.filter((m) => m === 'WATCHDOG=1').length >= 3);
	stage.notifier.child.kill('SIGHUP');
	await until('READY after a reload', () => heard.filter((m) => m === 'READY=1').length === 2);
	await stage.notifier.stop();
	await until('STOPPING', () => heard.includes('STOPPING=1'));
	assert.ok(heard.indexOf('STOPPING=1') > heard.indexOf('READY=1'));
});
