import { counted } from '../../shared/counted.ts';
import type { Failure } from '../../shared/errors.ts';
import { type Check, checksOf } from './check.ts';

/** A file that the configuration names. */
export interface NamedFile {
  /** The key that names it: `mqtt.ca`. */
  readonly key: string;
  readonly path: string;
  /** Why it cannot be used; undefined where it can. */
  readonly problem: string | undefined;
  readonly isKey: boolean;
  /** Permission bits, where the system has them. */
  readonly mode: number | undefined;
  /** When its certificate ends, Unix seconds. */
  readonly endsAt: number | undefined;
}

/** Facts of the configuration. */
export interface ConfigurationFacts {
  /** Its file; undefined where there is none. */
  readonly file: string | undefined;
  /** Its faults, each with its origin. */
  readonly failures: readonly Failure[];
  readonly warnings: readonly string[];
  readonly files: readonly NamedFile[];
  /** Models that cameras name and the library does not have. */
  readonly unknownModels: readonly { readonly camera: string; readonly model: string }[];
  /** Unix seconds. */
  readonly now: number;
}

const DAY_S = 86_400;
/** Time to renew a certificate in. */
const SOON_DAYS = 14;

const { ok, warn, fail } = checksOf('configuration');

/** Judges the configuration and the files that it names. */
export function judgeConfiguration(facts: ConfigurationFacts): Check[] {
  const { file, failures, warnings, unknownModels } = facts;
  const wrong = failures.map(({ message, hint }) =>
    fail('configuration', message, hint ?? '`tessera schema config` describes every key'),
  );
  const valid = ok('configuration', file === undefined ? 'no file, defaults hold' : `${file} is valid`);
  return [
    ...(wrong.length > 0 ? wrong : [valid]),
    ...warnings.map((warning) => warn('environment', warning, 'correct the name of the variable, or unset it')),
    ...facts.files.map((named) => judgeFile(named, facts.now)),
    ...unknownModels.map(({ camera, model }) =>
      warn(
        'models',
        `camera ${camera} names the model "${model}", which is not in the library of this machine`,
        '`tessera model list` shows the library; this matters on the machine of central only',
      ),
    ),
  ];
}

function judgeFile({ key, path, problem, isKey, mode, endsAt }: NamedFile, now: number): Check {
  if (problem !== undefined)
    return fail(key, `${path}: ${problem}`, `correct ${key}, or give the file to the user that the service runs as`);
  if (isKey && mode !== undefined && (mode & 0o077) !== 0)
    return warn(key, `others on this machine may read ${path}`, `\`chmod 600 ${path}\``);
  if (endsAt === undefined) return ok(key, `${path} can be read`);
  const days = Math.floor((endsAt - now) / DAY_S);
  const renew = 'renew the certificate and restart the programs that use it';
  if (days < 0) return fail(key, `the certificate in ${path} expired ${counted(-days, 'day')} ago`, renew);
  if (days < SOON_DAYS) return warn(key, `the certificate in ${path} expires in ${counted(days, 'day')}`, renew);
  return ok(key, `the certificate in ${path} is valid for ${counted(days, 'day')}`);
}
