import { describe, expect, it } from 'vitest';
import { makeCards, publicKeys, wifiOf } from '../../../cli/flash/make-cards.ts';

/** If it fails, a card is made that boots and is out of reach for ever, or that gives a secret away. */

const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5cPqbXEL4yrXh9lW9pPbSmUEHYpLcHnVqz1GQz1ZbF';
const WANTED = { user: 'pi', keys: `${KEY} mila@desk\n` };

describe('cards', () => {
  it('differ from each other and from those of an earlier flash', () => {
    const cards = [...makeCards(['pi-1', 'pi-2'], WANTED), ...makeCards(['pi-1'], WANTED)];
    expect(new Set(cards.map(({ instance }) => instance)).size).toBe(3);
    expect(cards[0]).toMatchObject({ name: 'pi-1', user: 'pi', keys: [`${KEY} mila@desk`] });
  });

  it.each([
    [{ user: 'root' }, '--user root'],
    [{ user: 'a b' }, '--user a b'],
    [{ country: 'Germany' }, '--country is Germany'],
    [{ wifi: { ssid: 'Home', passphrase: 'correct horse' } }, '--wifi needs --country'],
    [{ keys: '' }, '--ssh-key names an empty file'],
    [{ keys: 'ssh-ed25519 short' }, '--ssh-key names a file that has no public keys'],
  ])('cannot have %j', (change, message) => {
    expect(() => makeCards(['pi-1'], { ...WANTED, ...change })).toThrow(message);
  });

  it.each(['', 'Pi', '-pi', 'pi-', 'a.b', 'p'.repeat(64)])('cannot be called %j', (name) => {
    expect(() => makeCards([name], WANTED)).toThrow('cannot be a host name');
  });
});

describe('keys', () => {
  it('that are private are refused, and not shown', () => {
    const text = '-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjE\n';
    expect(() => publicKeys(text)).toThrow('--ssh-key names a private key');
    expect(() => publicKeys(text)).not.toThrow('b3BlbnNzaC1rZXktdjE');
  });

  it('lose comments that a file of the card could not hold', () => {
    expect(publicKeys(`# of the office\n${KEY} it's "mine"\r\n\n`)).toEqual([KEY]);
  });
});

describe('the key of a Wi-Fi network', () => {
  it('is that of IEEE 802.11, annex J.4', () => {
    expect(wifiOf({ ssid: 'IEEE', passphrase: 'password' }).psk).toBe(
      'f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e',
    );
  });

  it('may be given', () => {
    expect(wifiOf({ ssid: 'Home', passphrase: 'AB'.repeat(32) }).psk).toBe('ab'.repeat(32));
  });

  it.each(['short', 'x'.repeat(64), 'Straße 12'])('is not made of %j, nor is that shown', (passphrase) => {
    expect(() => wifiOf({ ssid: 'Home', passphrase })).toThrow('has no passphrase');
    expect(() => wifiOf({ ssid: 'Home', passphrase })).not.toThrow(passphrase);
  });

  it.each(['', 'x'.repeat(33), 'ü'.repeat(17)])('needs a name that a network can have, unlike %j', (ssid) => {
    expect(() => wifiOf({ ssid, passphrase: 'password' })).toThrow('--wifi has');
  });
});
