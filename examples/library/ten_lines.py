from pathlib import Path
from tempfile import TemporaryDirectory

import greetings

from aria_core import (
    SqlModelStorage,
    TemplateBuilder,
    WorkflowRunner,
    call,
    create_service,
    get_attribute,
    store_template,
)
from aria_plugins.executors.thread import ThreadExecutor
from aria_plugins.storage.file import FileStorage

template = TemplateBuilder("sky")
sun = template.node("sun", operations={"start": greetings.rise})
moon = template.node("moon", operations={"start": call(greetings.greet, news=get_attribute("sun", "news"))})
moon.requires(sun)
folder, threads = TemporaryDirectory(), ThreadExecutor()
with folder, threads, SqlModelStorage("sqlite://") as model, FileStorage(Path(folder.name)) as files:
    sky = create_service(model, store_template(model, files, template.load()), "sky-1")
    runner = WorkflowRunner(model, files, None, service_id=sky.id, workflow_name="install", executor=threads)
    runner.execute()
    print(runner.service.nodes["moon"].attributes["greeting"])
