import { defineCommand } from '../command.ts';
import type { ListedModel } from '../library/library.ts';
import { type Column, table } from '../output.ts';

const columns: readonly Column<ListedModel>[] = [
  { title: 'name', cell: ({ name }) => name },
  {
    title: 'task',
    cell: ({ card, guessed }) => (card === undefined ? '-' : `${card.task}${guessed ? ' (guessed)' : ''}`),
  },
  { title: 'input', cell: ({ card }) => card?.input.shape?.join('x') ?? '-' },
  { title: 'licence', cell: ({ card }) => card?.license ?? '-' },
  { title: 'from', cell: ({ bundled, path }) => (bundled ? 'bundled' : path) },
  { title: '', cell: ({ error }) => (error === undefined ? '' : `cannot be used: ${error}`) },
];

/** `tessera model list`: the library, and what can be got by name. */
export const command = defineCommand({
  description:
    'Lists the models of the library: those in models.dir of the configuration, and those that come with Tessera; and ' +
    'the models that `tessera model add NAME` gets.',
  options: {},
  examples: [
    ['model list', 'names for --model'],
    ['model list --json', 'an object for each model of the library, with its whole card'],
  ],
  async run({ json, out, config: loadConfig }) {
    const { config } = await loadConfig();
    const [{ listModels }, { readCatalogue }, { modelFolders }, { catalogueFile }] = await Promise.all([
      import('../library/library.ts'),
      import('../library/catalogue.ts'),
      import('../models.ts'),
      import('../catalogue.ts'),
    ]);
    const models = await listModels(modelFolders(config));
    if (json) {
      for (const model of models) out.json(model);
      return 0;
    }
    if (models.length === 0) out.note('the library is empty');
    else for (const line of table(columns, models)) out.line(line);
    const have = new Set(models.map(({ name }) => name));
    const { models: others } = await readCatalogue(catalogueFile());
    for (const [name, { about, license }] of Object.entries(others)) {
      if (!have.has(name)) out.note(`\`tessera model add ${name}\` gets: ${about} (${license})`);
    }
    return 0;
  },
});
