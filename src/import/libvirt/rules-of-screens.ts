/** What a person sees, touches and hears: screens, graphics cards, input, sound. */
import { changed, imported, unsupported, whole, type Verdict } from '../verdict.ts';
import type { Plain } from '../../definition/key-path.ts';
import { attributeOf, childOf } from '../xml/xml-node.ts';
import { liveState, tuning, wholeNotYet } from './phrases.ts';
import { bytesOf, isOn, wholeNumberOf } from './quantities.ts';
import type { Outcome, Place, Rules } from './rule-table.ts';
import { common } from './rules-in-common.ts';

function graphics(place: Place): Outcome {
  const { element, draft } = place;
  const type = attributeOf(element, 'type') ?? '';
  if (type === 'vnc' || type === 'spice') {
    draft.set(draft.machine, 'vnc', true, element);
    return imported;
  }
  if (type === 'egl-headless' || type === 'dbus')
    return whole(changed('the guest draws by itself, without the host’s graphics card'));
  if (type === 'sdl') {
    draft.set(draft.machine, 'vnc', true, element);
    return whole(changed('no window on the host: the screen is seen by qward vnc'));
  }
  return wholeNotYet(`no screen by ${type}; vnc: true is one`);
}

const throughQward = 'nothing listens: the screen is reached by qward vnc, and rights decide, not passwords';

const graphicsType = (place: Place): Verdict =>
  place.value === 'vnc' ? imported : changed('the screen is VNC, not SPICE');

/** Models with the ones that a definition has. */
const cards: Readonly<Record<string, string>> = {
  vga: 'vga',
  bochs: 'bochs',
  virtio: 'virtio',
  none: 'none',
};

/** The card with which a machine boots: libvirt puts it before the others. */
function isFirst({ element, draft }: Place): boolean {
  const all = draft.devicesOf('video');
  const primary = all.find((card) => isOn(attributeOf(childOf(card, 'model'), 'primary') ?? 'no'));
  return (primary ?? all[0]) === element;
}

function video(place: Place): Outcome {
  const { element, draft } = place;
  if (isFirst(place)) return imported;
  if (draft.board === 'microvm' || !draft.has('moreVideo', 'model')) return wholeNotYet('one graphics card');
  // libvirt takes a card “none” alone.
  if (attributeOf(childOf(element, 'model'), 'type') === 'none')
    return wholeNotYet('no card that is none beside others');
  return { ...imported, part: draft.begin('moreVideo', element, {}) };
}

/** Of a node beneath a card. */
const ofFurther = ({ part }: Place): boolean => part.list === 'moreVideo';

const furtherCards: Readonly<Record<string, string>> = { bochs: 'bochs', virtio: 'virtio' };

function furtherModel(place: Place): Verdict {
  const own = furtherCards[place.value] ?? 'bochs';
  place.set('model', own);
  return own === place.value
    ? imported
    : changed(
        `no further ${place.value.slice(0, 30)}: the card is a bochs-display, and the guest needs its driver`,
      );
}

/** Of whichever card it is. */
function ofCard(place: Place, key: string, value: Plain): Verdict {
  return place.set(ofFurther(place) ? key : `video.${key}`, value);
}

function videoModel(place: Place): Verdict {
  if (ofFurther(place)) return furtherModel(place);
  const own = cards[place.value];
  if (own !== undefined) return place.setMachine('video.model', own);
  place.setMachine('video.model', 'vga');
  return changed(
    `no ${place.value.slice(0, 30)}: the graphics card is a plain VGA one, which every guest knows`,
  );
}

function videoMemory(place: Place): Verdict {
  const bytes = bytesOf(place.value);
  const model = attributeOf(place.element, 'type');
  if (bytes === undefined) return unsupported('no size');
  // What libvirt writes, and QEMU has, where nothing is said.
  if (bytes === 16 * 1024 ** 2) return imported;
  if (model !== 'vga' && model !== 'bochs') return changed('the graphics card has the memory that it needs');
  return ofCard(place, 'memory', bytes % 1024 ** 2 === 0 ? `${bytes / 1024 ** 2}MiB` : bytes);
}

/** The frame of a qxl, which is what a bochs has of it. */
function frameMemory(place: Place): Verdict {
  const bytes = bytesOf(place.value);
  if (!ofFurther(place) || bytes === undefined)
    return changed('the graphics card has the memory that it needs');
  if (bytes === 16 * 1024 ** 2) return imported;
  return ofCard(place, 'memory', bytes % 1024 ** 2 === 0 ? `${bytes / 1024 ** 2}MiB` : bytes);
}

function input(place: Place): Outcome {
  const { element, draft } = place;
  const [type, bus] = [attributeOf(element, 'type') ?? '', attributeOf(element, 'bus')];
  const usual = type === 'tablet' ? 'usb' : 'ps2';
  const own = bus ?? usual;
  // A PC has the controller of the PS/2 keyboard and mouse always.
  if (own === 'ps2' && draft.board !== 'microvm') return imported;
  if (!['tablet', 'keyboard', 'mouse'].includes(type)) return wholeNotYet(`no input device of type ${type}`);
  if (own !== 'usb' && own !== 'virtio') return wholeNotYet(`no input device on the bus ${own}`);
  if (!draft.has('inputs', 'type') && type === 'tablet') return imported;
  if (!draft.has('inputs', 'type')) return wholeNotYet('no such input device');
  draft.begin('inputs', element, { type, bus: own });
  return imported;
}

const soundModels = new Set(['ich6', 'ich9', 'ac97', 'es1370', 'sb16', 'usb']);

function sound(place: Place): Outcome {
  const { element, draft } = place;
  if (draft.devicesOf('sound')[0] !== element) return wholeNotYet('one sound card');
  return imported;
}

function soundModel(place: Place): Verdict {
  if (soundModels.has(place.value)) return place.setMachine('sound.model', place.value);
  if (place.value === 'pcspk') return changed('a PC has its speaker always, without sound');
  place.setMachine('sound.model', 'ich6');
  return changed(`no ${place.value.slice(0, 30)}: the sound card is an ich6, and the guest needs its driver`);
}

const noSoundOut = 'the guest has its sound card, and nothing is heard: no sound leaves the jail';

export const rulesOfScreens: Rules = {
  'devices/graphics': graphics,
  'devices/graphics@type': graphicsType,
  'devices/graphics@port': changed(throughQward),
  'devices/graphics@tlsPort': changed(throughQward),
  'devices/graphics@websocket': changed(throughQward),
  'devices/graphics@websocketGenerated': liveState,
  'devices/graphics@autoport': imported,
  'devices/graphics@listen': changed(throughQward),
  'devices/graphics@socket': changed(throughQward),
  'devices/graphics@passwd': changed(throughQward),
  'devices/graphics@passwdValidTo': changed(throughQward),
  'devices/graphics@connected': changed(throughQward),
  'devices/graphics@sharePolicy': changed('several viewers may look at once'),
  'devices/graphics@defaultMode': changed(throughQward),
  'devices/graphics@powerControl': imported,
  'devices/graphics@display': changed(throughQward),
  'devices/graphics@xauth': changed(throughQward),
  'devices/graphics@fullscreen': changed(throughQward),
  'devices/graphics@keymap': changed('viewers send keys by their place, which needs no keymap'),
  'devices/graphics/listen/**': changed(throughQward),
  'devices/graphics/listen': changed(throughQward),
  'devices/graphics/audio/**': changed(noSoundOut),
  'devices/graphics/gl/**': changed('no 3D: the guest draws by itself'),
  'devices/graphics/*/**': changed('the screen is VNC, not SPICE'),
  'devices/video': video,
  'devices/video/model@type': videoModel,
  'devices/video/model@vram': videoMemory,
  'devices/video/model@ram': changed('the graphics card has the memory that it needs'),
  'devices/video/model@vgamem': frameMemory,
  'devices/video/model@vram64': changed('the graphics card has the memory that it needs'),
  'devices/video/model@heads': (place) => {
    const heads = wholeNumberOf(place.value) ?? 1;
    if (heads === 1) return imported;
    return attributeOf(place.element, 'type') === 'virtio'
      ? ofCard(place, 'heads', heads)
      : changed('the graphics card has one screen');
  },
  'devices/video/model@primary': imported,
  'devices/video/model@blob': tuning,
  'devices/video/model@edid': tuning,
  'devices/video/model/resolution@x': (place) =>
    ofCard(place, 'resolution.width', wholeNumberOf(place.value) ?? 0),
  'devices/video/model/resolution@y': (place) =>
    ofCard(place, 'resolution.height', wholeNumberOf(place.value) ?? 0),
  'devices/video/model/acceleration/**': changed('no 3D: the guest draws by itself'),
  'devices/video/driver/**': tuning,
  ...common('video'),
  'devices/input': input,
  'devices/input@type': imported,
  'devices/input@bus': imported,
  'devices/input@model': changed('virtio devices: on q35 the new kind alone, on pc both'),
  'devices/input/driver/**': tuning,
  ...common('input'),
  'devices/sound': sound,
  'devices/sound@model': soundModel,
  'devices/sound@multichannel': changed(noSoundOut),
  'devices/sound@streams': changed(noSoundOut),
  'devices/sound/codec@type': (place) => place.setMachine('sound.codec', place.value),
  'devices/sound/audio/**': changed(noSoundOut),
  ...common('sound'),
  'devices/audio': (place) =>
    attributeOf(place.element, 'type') === 'none' ? whole(imported) : whole(changed(noSoundOut)),
};
