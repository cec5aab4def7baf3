import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { TesseraError } from '../../shared/errors.ts';
import { z } from '../../shared/schema.ts';

/** A block device as `lsblk --json --bytes` describes it, with what is on it. */
export interface BlockDevice {
  readonly path: string;
  /** `disk`, `part`, `loop`, `crypt`, ... */
  readonly type: string;
  readonly size: number;
  readonly ro: boolean;
  /** Whether its medium can be taken out. */
  readonly rm: boolean;
  readonly model?: string | null | undefined;
  /** How it is connected: `usb`, `mmc`, `nvme`, `sata`. */
  readonly tran?: string | null | undefined;
  readonly mountpoints: readonly (string | null)[];
  readonly children?: readonly BlockDevice[] | undefined;
}

const blockDevice: z.ZodType<BlockDevice> = z.lazy(() =>
  z.object({
    path: z.string(),
    type: z.string(),
    size: z.number(),
    ro: z.boolean(),
    rm: z.boolean(),
    model: z.string().nullish(),
    tran: z.string().nullish(),
    mountpoints: z.array(z.string().nullable()),
    children: z.array(blockDevice).optional(),
  }),
);
const listed = z.object({ blockdevices: z.array(blockDevice).length(1) });

/** Looks at a block device. Throws TESSERA_USAGE where that cannot be done. */
export async function lookAtDevice(path: string): Promise<BlockDevice> {
  const columns = 'PATH,TYPE,SIZE,RO,RM,MODEL,TRAN,MOUNTPOINTS';
  try {
    const { stdout } = await promisify(execFile)('lsblk', ['--json', '--bytes', '--output', columns, path]);
    return listed.parse(JSON.parse(stdout)).blockdevices[0]!;
  } catch (error) {
    throw new TesseraError('TESSERA_USAGE', `what ${path} is cannot be found out: ${(error as Error).message}`, {
      hint: 'name the boot volume of the card where it is mounted, or an image file',
      cause: error,
    });
  }
}

/** Why a device must not be written to; undefined where it may be. */
export function refusalOf(device: BlockDevice): string | undefined {
  const { path, type, ro, rm, tran } = device;
  if (type !== 'disk' && type !== 'loop') return `${path} is no whole card but a ${type}`;
  if (ro) return `${path} is read-only`;
  const parts = below(device);
  const mounted = parts.flatMap((part) => part.mountpoints.filter((point) => point !== null));
  if (mounted.length > 0) return `${path} is in use: mounted at ${mounted.join(', ')}`;
  const held = parts.find((part) => part !== device && part.type !== 'part');
  if (held !== undefined) return `${path} is in use: ${held.path} lies on it`;
  const isCard = rm || type === 'loop' || ['usb', 'mmc'].includes(tran ?? '') || path.startsWith('/dev/mmcblk');
  return isCard ? undefined : `${path} is a disk inside of this machine${tran ? ` (${tran})` : ''}, not a card`;
}

/** A device in words for the one who has to confirm it. */
export function inWords({ path, size, model, tran }: BlockDevice): string {
  const about = [model?.trim(), tran].filter((word) => word).join(', ');
  return `${path}: ${(size / 1e9).toFixed(1)} GB${about === '' ? '' : `, ${about}`}`;
}

function below(device: BlockDevice): BlockDevice[] {
  return [device, ...(device.children ?? []).flatMap(below)];
}
