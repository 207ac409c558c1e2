"""The slots as people and programs handle them: list, define, change, delete, load, unload, swap."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from hal0app import errors
from hal0app.core import loaded, npu, npu_route
from hal0app.core.clock import Clock
from hal0app.core.slot import Broken, State, guard
from hal0app.services.control import Control, Want
from hal0app.services.definitions import Definitions, agree, checked
from hal0app.services.jobs import Job
from hal0app.services.leases import Leases
from hal0app.services.observer import Observer
from hal0app.services.ports import SlotFolder, States
from hal0app.services.quarantines import Quarantines
from hal0app.services.slot_view import SlotView, SlotViews


class Slots:
    """Reads come from the observer's snapshot; changes go to the files and to the control worker."""

    def __init__(
        self,
        files: SlotFolder,
        observer: Observer,
        control: Control,
        leases: Leases,
        store: States,
        clock: Clock,
        quarantines: Quarantines,
        ports: Sequence[int] = (),
    ) -> None:
        self._observer, self._control, self._quarantines, self._clock = observer, control, quarantines, clock
        self.views = views = SlotViews(observer, control, leases, clock, quarantines)
        self.definitions = written = Definitions(files, views, observer, store, clock, ports)
        # Reading and defining are theirs, and looked for here.
        self.all, self.one, self.etag = views.all, views.one, written.etag
        self.create, self.change = written.create, written.change
        self.replace, self.delete = written.replace, written.delete

    # -- acts

    def load(self, name: str, who: str) -> Job:
        """Start or join the slot's load, whatever failed before. Raises what speaks against it."""
        want = self._want(name, "load")
        self._forgive(want, who, failed=self.one(name).record.state is State.ERROR)
        return self._control.load(want, who)

    def _forgive(self, want: Want, who: str, failed: bool) -> None:
        """A person who wants the model loaded wants it tried."""
        if failed or self._quarantines.refusal(want.model, want.slot) is not None:
            self._control.clear(want, who)

    def cancel(self, name: str, who: str) -> None:
        """End the slot's load or swap that waits for another one. Raises `slot.not_waiting`."""
        self._control.cancel(self._want(name, "load"), who)

    def keep(self, name: str, who: str) -> SlotView:
        """Make the definition say what lemond runs. Raises `slot.no_model` where the model is not loaded."""
        view = self.one(name)
        if view.resident is None:
            raise errors.error("slot.no_model", f"'{name}' is not loaded now, so there is nothing to keep")
        return self.change(name, loaded.as_it_runs(view.differences), None, who)

    def unload(self, name: str, who: str, force: bool = False) -> Job:
        """Start or join the slot's unload; its requests end first.

        A model that another enabled slot has too stays loaded, unless `force`.
        """
        want = self._want(name, "unload")
        serving = [one for one in self._observer.snapshot.configs if one.enabled and not npu.is_shadow(one)]
        sharing = [one.name for one in serving if one.model == want.model]
        others = () if force else tuple(one for one in sharing if one != name)
        return self._control.unload(want, who, others)

    def restart(self, name: str, who: str) -> Job:
        """Unload and load again, whatever failed before."""
        want = self._want(name, "load")
        self._forgive(want, who, failed=self.one(name).record.state is State.ERROR)
        return self._control.restart(want, who)

    def clear(self, name: str, who: str) -> SlotView:
        """Forget old failures, so that requests may try the model again."""
        self._control.clear(self._want(name, "load"), who)
        self._observer.after(self._clock(), 5.0, fresh=False)
        return self.one(name)

    def swap(self, name: str, model: str, who: str) -> Job:
        """Put another model in: it is kept only if it loads, else the old one comes back."""
        want = self._want(name, "unload")
        assert want.slot is not None
        if want.shadow is not None:
            message = (
                f"slot '{name}' is served by the NPU's chat model: swap '{want.slot.name}', or PATCH the slot's model"
            )
            raise errors.error("request.invalid_field", message, param="model")
        self.definitions.now()
        changed = checked(name, {**self.definitions.of(name), "model": model})
        configs = [one for one in self._observer.snapshot.configs if one.name != name]
        agree(changed, configs)
        self._forgive(Want(model, changed), who, failed=False)
        return self._control.swap(
            replace(want, slot=changed), model, who, keep=lambda: self.definitions.put_in(name, model, who)
        )

    def preview(self, name: str, model: str | None) -> dict[str, object]:
        """What loading the slot's model, or swapping to `model`, would do."""
        config = self.one(name).config
        if config is None or not (model or config.model):
            raise errors.error("slot.no_model", f"slot '{name}' has no model; name one with ?model=", param="model")
        changed = checked(name, {**self.definitions.of(name), "model": model or config.model})
        return self._control.preview(Want(config.model or "", changed), model or config.model or "")

    def _want(self, name: str, command: str) -> Want:
        view = self.one(name)
        config = view.config
        if config is None:
            problem = view.slot.problem if isinstance(view.slot, Broken) else ""
            raise errors.error("slot.invalid", f"slot '{name}': {problem}")
        chat = npu.carrier(config, self._observer.snapshot.configs)
        if npu.is_shadow(config) and config.enabled and chat is None:
            raise npu_route.unavailable(config)
        refused = guard(command, view.record) or (None if (chat or config).model else "slot.no_model")
        if refused is not None:
            raise errors.error(refused, f"slot '{name}': {view.record.message}")
        return Want(chat.model or "", chat, config) if chat else Want(config.model or "", config)
