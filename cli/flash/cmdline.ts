/*
 * cmdline.txt of a Raspberry Pi: the kernel's words on one line, since the firmware reads the first line only.
 */

/** A command line with words added, in place of those that `replaces` matches. */
export function withWords(cmdline: string, words: readonly string[], replaces: RegExp): string {
  const kept = cmdline.split(/\s+/).filter((word) => word !== '' && !replaces.test(word));
  return `${[...kept, ...words].join(' ')}\n`;
}

/** Words by which systemd runs a script at the next boot, and starts the machine anew when it has ended. */
export const RUN_ONCE = [
  'systemd.run=/boot/firmware/firstrun.sh',
  'systemd.run_success_action=reboot',
  'systemd.unit=kernel-command-line.target',
] as const;

/** Every word that an earlier flash, by us or by Raspberry Pi Imager, may have left. */
export const OF_A_FLASH = /^(ds=nocloud\b.*|systemd\.(run|run_success_action|unit)=.*)$/;
/** The word that sets the country of the radio's rules. */
export const OF_THE_RADIO = /^cfg80211\.ieee80211_regdom=/;
