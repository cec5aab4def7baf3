import { TesseraError } from '../../shared/errors.ts';
import { nearest } from '../../shared/nearest.ts';
import { defineCommand } from '../command.ts';
import { table } from '../output.ts';

/** `tessera schema [NAME]`: JSON Schema of each file and payload. */
export const command = defineCommand({
  arguments: '[name]',
  description:
    'Prints the JSON Schema (draft 2020-12) of a file or payload, for editors, validators and code generators. ' +
    'Without a name, lists the names.',
  options: {},
  examples: [
    ['schema', 'the names, and what each describes'],
    ['schema result', 'the object that central publishes for each frame'],
    ['schema config > tessera.schema.json', 'for completion in an editor'],
  ],
  async run({ args, json, out }) {
    const { SCHEMAS, jsonSchemaOf } = await import('../schemas.ts');
    const [name] = args;
    if (name === undefined) {
      const rows = Object.entries(SCHEMAS).map(([key, { what }]) => ({ name: key, what }));
      if (json) for (const row of rows) out.json(row);
      else {
        const columns = [
          { title: 'name', cell: (row: { name: string }) => row.name },
          { title: 'stands for', cell: (row: { what: string }) => row.what },
        ];
        for (const line of table(columns, rows)) out.line(line);
      }
      return 0;
    }
    const schema = Object.hasOwn(SCHEMAS, name) ? SCHEMAS[name] : undefined;
    if (schema === undefined) {
      const close = nearest(name, Object.keys(SCHEMAS));
      throw new TesseraError('TESSERA_USAGE', `there is no schema ${JSON.stringify(name)}`, {
        hint: close === undefined ? '`tessera schema` lists the names' : `did you mean ${close}?`,
      });
    }
    if (json) out.json(jsonSchemaOf(name, schema));
    else out.line(JSON.stringify(jsonSchemaOf(name, schema), null, 2));
    return 0;
  },
});
