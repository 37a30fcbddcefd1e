// SPDX-License-Identifier: PostgreSQL
//
// tsdoc.js
//	Fails when something public of the client has no TSDoc, and says what. Public is what the declarations in dist/ show
//	of the entry points in package.json: what they export, the types that this leads to, and every member of them that is
//	not private; of overloads, each. Needs a build.

import { readFileSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import ts from 'typescript';

const members = new Set([
	ts.SyntaxKind.PropertySignature, ts.SyntaxKind.MethodSignature, ts.SyntaxKind.PropertyDeclaration,
	ts.SyntaxKind.MethodDeclaration, ts.SyntaxKind.GetAccessor, ts.SyntaxKind.SetAccessor, ts.SyntaxKind.Constructor
]);
const dist = resolve('dist');
const entries = Object.values(JSON.parse(readFileSync('package.json', 'utf8')).exports).map(({ types }) => resolve(types));
const program = ts.createProgram(entries, {
	module: ts.ModuleKind.NodeNext, target: ts.ScriptTarget.ES2022, skipLibCheck: true, types: []
});
const checker = program.getTypeChecker();
const seen = new Set();
const missing = [];
let count = 0;

/** Counts something public, and notes it when nothing is said of it. */
function need(node, name)
{
	count++;
	if (ts.getJSDocCommentsAndTags(node).some(({ comment }) => ts.getTextOfJSDocComment(comment)?.trim()))
		return;
	const file = node.getSourceFile();

	missing.push(`src/${relative(dist, file.fileName).replace(/\.d\.ts$/, '.ts')}: ${name}`);
}

/** Whether a member is nobody's business outside of its class. */
function isPrivate(node)
{
	return (ts.getCombinedModifierFlags(node) & ts.ModifierFlags.Private) !== 0 ||
		(node.name !== undefined && ts.isPrivateIdentifier(node.name));
}

/** Goes through a declaration: its members, and the types of this package that it names. */
function walk(node, owner)
{
	let name = owner;

	if (members.has(node.kind))
	{
		if (isPrivate(node))
			return;
		name = `${owner}.${node.name?.getText() ?? 'constructor'}`;
		need(node, name);
	}
	else if (ts.isIdentifier(node))
	{
		const symbol = checker.getSymbolAtLocation(node);

		if (symbol)
			visit(symbol);
	}
	node.forEachChild((child) => walk(child, name));
}

/** Takes a symbol that can be named from outside, if it is declared here at the top of a file. */
function visit(symbol)
{
	const own = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;

	if (seen.has(own))
		return;
	seen.add(own);
	for (const node of own.declarations ?? [])
	{
		const statement = ts.isVariableDeclaration(node) ? node.parent.parent : node;

		if (!ts.isSourceFile(statement.parent ?? statement) || !node.getSourceFile().fileName.startsWith(dist))
			continue;
		if (!ts.isSourceFile(node))
		{
			need(node, own.name);
			walk(node, own.name);
		}
	}
}

for (const entry of entries)
{
	const module = checker.getSymbolAtLocation(program.getSourceFile(entry));

	if (!module)
		throw new Error(`${relative('.', entry)} is no module`);
	checker.getExportsOfModule(module).forEach(visit);
}
for (const one of missing)
	console.error(`no TSDoc: ${one}`);
console.log(`${count} public members, ${missing.length} without TSDoc`);
process.exitCode = missing.length > 0 || count === 0 ? 1 : 0;
