import { shownSettings } from '../../shared/config/show.ts';
import { defineCommand } from '../command.ts';
import { connectionOptions, connectionSettings } from '../options.ts';
import { table } from '../output.ts';

/** `tessera config`: every effective value and the layer that set it. */
export const command = defineCommand({
  description:
    'Shows the effective configuration: defaults, overridden by the file, by the environment (TESSERA_MQTT__USER is ' +
    'mqtt.user; TESSERA_MQTT__PASSWORD_FILE names a file that holds mqtt.password) and by flags, in this order. ' +
    'Secrets are shown as ***. Keys without value and default, such as broker.cert, are described by ' +
    '`tessera schema config`.',
  options: connectionOptions,
  examples: [
    ['config', 'every key, its value, and where the value comes from'],
    ['config --config deploy.yaml', 'checks a file before it is used; exit code 1 when it is wrong'],
    ['config --json', 'the same for programs'],
  ],
  async run({ options, json, out, config }) {
    const loaded = await config(await connectionSettings(options));
    const settings = shownSettings(loaded);
    if (json) {
      out.json({ file: loaded.file ?? null, settings });
      return 0;
    }
    const lines = table(
      [
        { title: 'key', cell: ({ key }) => key },
        { title: 'value', cell: ({ value }) => (typeof value === 'string' ? value : JSON.stringify(value)) },
        { title: 'origin', cell: ({ origin }) => origin },
      ],
      settings,
    );
    for (const line of lines) out.line(line);
    if (loaded.file === undefined) out.note('no configuration file was found; `tessera schema config` describes one');
    return 0;
  },
});
