import { type Card, OURS } from './card.ts';
import { metaData, networkConfig, userData } from './cloud-init.ts';
import { OF_A_FLASH, OF_THE_RADIO, RUN_ONCE, withWords } from './cmdline.ts';
import { firstrunScript } from './firstrun.ts';
import { installScript } from './install-script.ts';
import { preseed } from './preseed.ts';

/** How an image is told what to do at its first boot. */
export type Form = 'cloud-init' | 'firstrun' | 'rpi-preseed';

/** Files of the other forms, which an earlier flash may have left. */
const OF_FORMS = ['user-data', 'meta-data', 'network-config', 'firstrun.sh', 'rpi-preseed.toml'] as const;

/**
 * The form of an image, by the files of its boot partition: both newer forms leave a mark there. firstrun needs nothing
 * but systemd, so that it serves everywhere else.
 */
export function formOf(names: readonly string[], cmdline: string): Form {
  if (names.some((name) => name === 'rpi-preseed.toml' || name === 'rpi-preseed')) return 'rpi-preseed';
  const isNoCloud = cmdline.split(/\s+/).some((word) => word.startsWith('ds=nocloud'));
  return isNoCloud || names.includes('user-data') || names.includes('meta-data') ? 'cloud-init' : 'firstrun';
}

/** What a boot partition has to hold after a flash. */
export interface FirstBoot {
  /** Small files by name; cmdline.txt is the last one, as it sets the others off. */
  readonly files: ReadonlyMap<string, string>;
  /** Files that must not be there. */
  readonly gone: readonly string[];
}

/** The files that make a card the one of a node. `cmdline` is the content of cmdline.txt. */
export function firstBoot(form: Form, card: Card, token: string, cmdline: string): FirstBoot {
  const own: Readonly<Record<Form, readonly (readonly [name: string, text: string])[]>> = {
    'cloud-init': [
      ['user-data', userData(card)],
      ['meta-data', metaData(card)],
      ['network-config', networkConfig(card)],
    ],
    firstrun: [['firstrun.sh', firstrunScript(card)]],
    'rpi-preseed': [['rpi-preseed.toml', preseed(card)]],
  };
  // netplan and rpi-preseed set the country with a Wi-Fi, and ignore it without one.
  const inCmdline = form === 'firstrun' || card.wifi === undefined;
  const words = [
    ...(card.country !== undefined && inCmdline ? [`cfg80211.ieee80211_regdom=${card.country}`] : []),
    // The instance of this line counts more than that of meta-data.
    ...(form === 'cloud-init' ? [`ds=nocloud;i=${card.instance}`] : []),
    ...(form === 'firstrun' ? RUN_ONCE : []),
  ];
  const radio = card.country === undefined ? cmdline : withWords(cmdline, [], OF_THE_RADIO);
  const files = new Map([
    [OURS.token, `${token}\n`],
    [OURS.install, installScript(card)],
    ...own[form],
    ['cmdline.txt', withWords(radio, words, OF_A_FLASH)],
  ]);
  return { files, gone: [OURS.log, ...OF_FORMS.filter((name) => !files.has(name))] };
}
