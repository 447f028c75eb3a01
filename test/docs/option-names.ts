import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const lib = fileURLToPath(new URL('../../lib/', import.meta.url));

/** Names of the properties of an interface in `lib`, as the compiler sees it. */
export function optionNames(program: ts.Program, file: string, name: string): string[] {
  return declaredType(program, file, name)
    .getProperties()
    .map((property) => property.name);
}

/** The same, with paths for those of nested objects: `relay.enabled`, `queues.<name>.limiter`. */
export function optionPaths(program: ts.Program, file: string, name: string): string[] {
  const checker = program.getTypeChecker();
  return declaredType(program, file, name)
    .getProperties()
    .flatMap((property) => {
      const type = checker.getNonNullableType(checker.getTypeOfSymbol(property));
      const item = type.getStringIndexType();
      if (item) return item.getProperties().map((each) => `${property.name}.<name>.${each.name}`);
      const members = type.isUnion() ? type.types : [type];
      if (!members.every(isOptionsObject)) return [property.name];
      const inner = members.flatMap((member) => member.getProperties());
      return [...new Set(inner.map((each) => `${property.name}.${each.name}`))];
    });
}

function declaredType(program: ts.Program, file: string, name: string): ts.Type {
  const checker = program.getTypeChecker();
  const source = program.getSourceFile(lib + file);
  const module = source && checker.getSymbolAtLocation(source);
  const symbol = module && checker.tryGetMemberInModuleExports(name, module);
  if (symbol === undefined) throw new Error(`lib/${file} exports no ${name}`);
  return checker.getDeclaredTypeOfSymbol(symbol);
}

function isOptionsObject(type: ts.Type): boolean {
  return (type.flags & ts.TypeFlags.Object) !== 0 && type.getCallSignatures().length === 0;
}
