"""Home Assistant's encryption of backups, made to give the same bytes again after a restart.

Home Assistant draws new keys whenever it begins to encrypt, so that an upload could only start
over. Nothing else in it is random: what was drawn is kept, and given back for the same archive.
This needs a private attribute of Home Assistant's streamer, and it is the only module that does.
Without it every beginning gives other bytes, and uploads start over.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
import struct
from typing import override

from homeassistant.components.backup.util import EncryptedBackupStreamer
from securetar import (
    SecureTarDerivedKeyMaterial,
    SecureTarError,
    SecureTarHeader,
    SecureTarRootKeyContext,
)

_KEY_CONTEXT = "_key_context"


@dataclass(slots=True)
class Cipher:
    """What was drawn for one archive, enough to encrypt it again with the same key.

    `source` is the identity of the plain archive: a key is never used for two. `beginnings` holds,
    in hex, what each inner archive begins with when it is encrypted, by its number: salts, the
    nonce, and a check value of the key. They lie readable in the encrypted archive itself; neither
    the password nor a key can be told from them.
    """

    source: str
    beginnings: dict[int, str] = field(default_factory=dict)


def use_cipher(streamer: EncryptedBackupStreamer, password: str, cipher: Cipher) -> bool:
    """Let the streamer go on with what was drawn before, and keep in `cipher` what it draws.

    Returns False, and leaves the streamer as it is, if this Home Assistant can't do that.
    """
    if not isinstance(getattr(streamer, _KEY_CONTEXT, None), SecureTarRootKeyContext):
        return False
    setattr(streamer, _KEY_CONTEXT, _KeptKeys(password, cipher))
    return True


class _KeptKeys(SecureTarRootKeyContext):
    """Asked in the thread that encrypts, once per inner archive and reading."""

    def __init__(self, password: str, cipher: Cipher) -> None:
        super().__init__(password)
        self._cipher = cipher
        self._materials: dict[int, SecureTarDerivedKeyMaterial] = {}

    @override
    def derive_key_material(
        self, key_id: Hashable | None, version: int
    ) -> SecureTarDerivedKeyMaterial:
        if not isinstance(key_id, int):
            return super().derive_key_material(key_id, version)
        if (material := self._materials.get(key_id)) is None:
            material = self._kept(key_id, version) or super().derive_key_material(key_id, version)
            self._materials[key_id] = material
            self._cipher.beginnings[key_id] = material.cipher_initialization.hex()
        return material

    def _kept(self, key_id: int, version: int) -> SecureTarDerivedKeyMaterial | None:
        beginning = self._cipher.beginnings.get(key_id)
        if beginning is None:
            return None
        try:
            header = SecureTarHeader(bytes.fromhex(beginning), None, version)
            return self.restore_key_material(header)
        except SecureTarError, ValueError, struct.error:
            # The password was changed, or the format: all is drawn anew.
            self._cipher.beginnings.clear()
            return None
