import type { Config } from '../../shared/config/schema.ts';
import { defineCommand } from '../command.ts';
import type { Check } from '../doctor/check.ts';
import { connectionOptions, connectionSettings, flag, string, value } from '../options.ts';
import { withOwnCommand } from '../own-command.ts';

/** `tessera doctor`: finds faults of this machine or deployment, and how to fix them. */
export const command = defineCommand({
  description:
    'Checks this machine (runtime, pictures, memory, clock, state directory, configuration, ports) and, where a broker ' +
    'is configured or answers, the deployment: access rights, packet size, round trips, retained messages, central and ' +
    'every node; or one camera. Prints how to fix each finding. Exit code 1 when something must be fixed. It changes nothing; ' +
    'run it as the user and with the configuration of the service to be checked.',
  options: {
    ...connectionOptions,
    local: flag('--local', 'this machine only'),
    camera: value(
      '--camera <name>',
      'only this camera of the configuration, or NAME=SOURCE: reads it, says what it costs, and saves a picture',
      string,
    ),
    picture: value('--picture <file>', 'file for the picture of --camera; otherwise NAME.jpg', string),
  },
  examples: [
    ['doctor', 'this machine, and the broker of its configuration'],
    ['doctor --broker mqtt://192.168.1.10', 'a deployment from any machine'],
    ['doctor --camera front_door', 'whether that camera can be read, and front_door.jpg as central would get it'],
    ['doctor --local --json', 'this machine, an object for each check'],
  ],
  async run({ options, json, out, signal, config: load }) {
    const flags = await connectionSettings(options);
    const [{ reportLines }, { examine }] = await Promise.all([
      import('../doctor/check.ts'),
      import('../doctor/examine.ts'),
    ]);
    const checks =
      options.camera === undefined
        ? await examine({ load: () => load(flags), flags, local: options.local, signal })
        : await examineCamera(options.camera, options.picture, (await load(flags)).config, signal);
    if (json) for (const check of checks) out.json(check);
    else for (const line of reportLines(checks)) out.line(withOwnCommand(line));
    return checks.some(({ status }) => status === 'fail') ? 1 : 0;
  },
});

/** Reads a camera of the configuration, or NAME=SOURCE, on this machine. Throws TESSERA_USAGE. */
async function examineCamera(
  text: string,
  picture: string | undefined,
  config: Config,
  signal: AbortSignal,
): Promise<Check[]> {
  const [{ cameraOf }, { lookAtCamera }, { judgeCamera }, { connectCommand, openLog }] = await Promise.all([
    import('../agent-cameras.ts'),
    import('../doctor/look-at-camera.ts'),
    import('../doctor/camera.ts'),
    import('../connect.ts'),
  ]);
  const { name, settings } = cameraOf(text, config.cameras);
  const bus =
    settings.source.kind === 'topic'
      ? await connectCommand(config, 'doctor', await openLog(config, 'doctor'))
      : undefined;
  try {
    return judgeCamera(await lookAtCamera(name, settings, picture ?? `${name}.jpg`, bus, signal));
  } finally {
    await bus?.stop();
  }
}
