import { relative } from 'node:path';
// TypeScript 7 has no compiler API that is stable. The extractor brings the last release that has one.
import ts from '../../node_modules/@microsoft/api-extractor/node_modules/typescript/lib/typescript.js';
import type { Entry } from '../support/entries.ts';
import { type Comment, readComment } from './comment.ts';
import type { Declarations } from './declarations.ts';

/** A parameter of something that can be called. */
export interface Parameter {
  readonly name: string;
  readonly type: string;
}

/** An exported name, or a member of one. */
export interface Name {
  /** With the names that it is a member of, such as `ListenOptions.waiting.max`. */
  readonly name: string;
  readonly kind: 'function' | 'class' | 'interface' | 'type' | 'constant' | 'property' | 'method' | 'constructor';
  /** Its declarations, without comments; overloads are several. */
  readonly signatures: readonly string[];
  /** The first one that is not empty, if there are several declarations. */
  readonly comment: Comment;
  /** Whether each declaration has a comment, and so each overload: an editor shows that of the one that is called. */
  readonly isEachCommented: boolean;
  /** The type of a property or a constant, as it is written. */
  readonly type: string;
  readonly isOptional: boolean;
  /** Of all overloads. */
  readonly parameters: readonly Parameter[];
  readonly returns: string;
  readonly members: readonly Name[];
  /** What an interface or a class extends, as it is written. */
  readonly bases: readonly string[];
  /** Whether only its type is exported. */
  readonly isTypeOnly: boolean;
  /** Its file, from `lib`. */
  readonly file: string;
}

/** What each entry exports, in the order of its file. */
export function namesOf(declarations: Declarations): Map<Entry, Name[]> {
  const files = declarations.entries.map((entry) => declarations.fileOf(entry));
  const options = {
    module: ts.ModuleKind.NodeNext,
    target: ts.ScriptTarget.ES2022,
    types: ['node'],
    skipLibCheck: true,
  };
  const program = ts.createProgram(files, { ...options, typeRoots: [`${declarations.folder}/node_modules/@types`] });
  const checker = program.getTypeChecker();
  return new Map(
    declarations.entries.map((entry) => {
      const source = program.getSourceFile(declarations.fileOf(entry));
      const module = source && checker.getSymbolAtLocation(source);
      if (module === undefined) throw new Error(`${entry.specifier} exports nothing`);
      const names = checker.getExportsOfModule(module).map((exported) => {
        const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
        const isTypeOnly = (exported.declarations ?? []).some((node) => ts.isTypeOnlyExportDeclaration(node));
        return { ...read(exported.name, symbol.declarations ?? [], declarations.folder), isTypeOnly };
      });
      return [entry, names];
    }),
  );
}

/** @param nodes The declarations of one name. */
function read(name: string, nodes: readonly ts.Declaration[], folder: string): Name {
  const [node] = nodes;
  if (node === undefined) throw new Error(`${name} has no declaration`);
  const file = relative(folder, node.getSourceFile().fileName).replace(/^dist\/(.*)\.d\.ts$/, '$1.ts');
  const calls = nodes.filter((one): one is ts.Declaration & ts.SignatureDeclarationBase => ts.isFunctionLike(one));
  const type = typeOf(node);
  const common = {
    name,
    kind: kindOf(node),
    signatures: nodes.map(signatureOf),
    comment: nodes.map(commentOf).find(({ text }) => text !== '') ?? commentOf(node),
    isEachCommented: nodes.every((one) => commentOf(one).text !== ''),
    type: type?.getText() ?? '',
    isOptional: 'questionToken' in node && node.questionToken !== undefined,
    parameters: calls.flatMap(({ parameters }) => parameters.map(parameterOf)),
    returns: calls[0]?.type?.getText() ?? '',
    isTypeOnly: false,
    file,
  };
  const isWhole = ts.isInterfaceDeclaration(node) || ts.isClassDeclaration(node);
  const bases = isWhole ? (node.heritageClauses ?? []).flatMap(({ types }) => types.map((base) => base.getText())) : [];
  const inner = isWhole ? [...node.members] : literalMembers(type);
  const groups = new Map<string, ts.Declaration[]>();
  for (const member of inner.filter(isPublic)) {
    const own = ts.isConstructorDeclaration(member)
      ? 'constructor'
      : (ts.getNameOfDeclaration(member)?.getText() ?? '');
    groups.set(own, [...(groups.get(own) ?? []), member]);
  }
  const members = [...groups].map(([own, declared]) => read(`${name}.${own}`, declared, folder));
  return { ...common, bases, members };
}

function kindOf(node: ts.Node): Name['kind'] {
  if (ts.isFunctionDeclaration(node)) return 'function';
  if (ts.isClassDeclaration(node)) return 'class';
  if (ts.isInterfaceDeclaration(node)) return 'interface';
  if (ts.isTypeAliasDeclaration(node)) return 'type';
  if (ts.isVariableDeclaration(node)) return 'constant';
  if (ts.isConstructorDeclaration(node)) return 'constructor';
  return ts.isMethodSignature(node) || ts.isMethodDeclaration(node) ? 'method' : 'property';
}

function typeOf(node: ts.Node): ts.TypeNode | undefined {
  const isTyped =
    ts.isTypeAliasDeclaration(node) || ts.isVariableDeclaration(node) || ts.isGetAccessor(node) || isProperty(node);
  return isTyped ? node.type : undefined;
}

const isProperty = (node: ts.Node) => ts.isPropertySignature(node) || ts.isPropertyDeclaration(node);

/** The members of the object types that a type consists of; not those that it only refers to. */
function literalMembers(type: ts.TypeNode | undefined): ts.Declaration[] {
  if (type === undefined) return [];
  if (ts.isTypeLiteralNode(type)) return [...type.members];
  if (ts.isUnionTypeNode(type) || ts.isIntersectionTypeNode(type)) return type.types.flatMap(literalMembers);
  return ts.isParenthesizedTypeNode(type) ? literalMembers(type.type) : [];
}

function isPublic(node: ts.Declaration): boolean {
  if (ts.getNameOfDeclaration(node)?.kind === ts.SyntaxKind.PrivateIdentifier) return false;
  return !(ts.getCombinedModifierFlags(node) & (ts.ModifierFlags.Private | ts.ModifierFlags.Protected));
}

function parameterOf(parameter: ts.ParameterDeclaration): Parameter {
  return { name: parameter.name.getText(), type: parameter.type?.getText() ?? '' };
}

function commentOf(node: ts.Node): Comment {
  const owner = ts.isVariableDeclaration(node) ? node.parent.parent : node;
  const text = owner.getSourceFile().text;
  const comments = ts.getLeadingCommentRanges(text, owner.getFullStart()) ?? [];
  const last = comments.map(({ pos, end }) => text.slice(pos, end)).findLast((comment) => comment.startsWith('/**'));
  return readComment(last ?? '');
}

/** The text of a declaration, without comments and `export declare`. Of a class or an interface only its head. */
function signatureOf(node: ts.Node): string {
  const isWhole = ts.isInterfaceDeclaration(node) || ts.isClassDeclaration(node);
  const text = (ts.isVariableDeclaration(node) ? `const ${node.getText()}` : node.getText())
    .replace(/\/\*\*[\s\S]*?\*\/\s*/g, '')
    .replace(/^(export )?(declare )?/, '');
  return isWhole ? text.slice(0, text.indexOf('{')).trim() : text;
}
