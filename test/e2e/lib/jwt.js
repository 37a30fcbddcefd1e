// SPDX-License-Identifier: PostgreSQL
//
// jwt.js
//	Makes tokens as an application's login would: HS256, RS256, ES256, and wrong ones.

import { createHmac, generateKeyPairSync, sign } from 'node:crypto';

const part = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))
	.toString('base64url');

/** A token signed with a shared secret. */
export function makeToken(claims, secret, header = {})
{
	const text = `${part({ alg: 'HS256', typ: 'JWT', ...header })}.${part(claims)}`;

	return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

/** A token that nobody signed. */
export function makeUnsignedToken(claims)
{
	return `${part({ alg: 'none', typ: 'JWT' })}.${part(claims)}.`;
}

/** A key pair with its public JSON Web Key: alg is RS256 or ES256. */
export function makeKeys(alg, kid)
{
	const { privateKey, publicKey } = alg === 'RS256' ?
		generateKeyPairSync('rsa', { modulusLength: 2048 }) :
		generateKeyPairSync('ec', { namedCurve: 'P-256' });

	return { alg, kid, privateKey, jwk: { ...publicKey.export({ format: 'jwk' }), kid, alg, use: 'sig' } };
}

/** A token signed with a private key of makeKeys(). */
export function signToken(claims, keys)
{
	const text = `${part({ alg: keys.alg, typ: 'JWT', kid: keys.kid })}.${part(claims)}`;
	const signature = sign('sha256', Buffer.from(text),
		{ key: keys.privateKey, dsaEncoding: 'ieee-p1363' });

	return `${text}.${signature.toString('base64url')}`;
}

/** Now in seconds, as claims have it. */
export const now = () => Math.floor(Date.now() / 1000);
