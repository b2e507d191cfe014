"""Prints as JSON what TensorBoard finds below a folder, with each of its two readers."""

import io
import json
import os
import sys

from PIL import Image
from tensorboard import context
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.data import provider as providers, server_ingester
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups
from tensorboard.util import grpc_util


def read(provider):
    ctx, experiment = context.RequestContext(), {"experiment_id": "any"}
    scalars, images, sessions = {}, {}, {}
    for run, tags in provider.list_scalars(ctx, plugin_name="scalars", **experiment).items():
        wanted = providers.RunTagFilter(runs=[run], tags=list(tags))
        found = provider.read_scalars(ctx, plugin_name="scalars", downsample=1000, run_tag_filter=wanted, **experiment)
        for tag, points in found[run].items():
            scalars[os.path.join(run, tag)] = [[p.step, p.value] for p in points]
    for run, tags in provider.list_blob_sequences(ctx, plugin_name="images", **experiment).items():
        wanted = providers.RunTagFilter(runs=[run], tags=list(tags))
        found = provider.read_blob_sequences(ctx, plugin_name="images", downsample=10, run_tag_filter=wanted, **experiment)
        for tag, points in found[run].items():
            for point in points:
                width, height, png = [provider.read_blob(ctx, blob_key=v.blob_key) for v in point.values]
                image = Image.open(io.BytesIO(png))
                image.load()
                assert image.size == (int(width), int(height)), (image.size, width, height)
            images[os.path.join(run, tag)] = [point.step for point in points]
    request = api_pb2.ListSessionGroupsRequest(
        slice_size=100, aggregation_type=api_pb2.AGGREGATION_AVG, allowed_statuses=api_pb2.Status.values())
    tab = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    for group in list_session_groups.Handler(ctx, tab, "any", request).run().session_groups:
        sessions[group.sessions[0].name] = {
            "status": group.sessions[0].status,
            "settings": {name: getattr(v, v.WhichOneof("kind")) for name, v in group.hparams.items()},
            "metrics": {os.path.join(v.name.group, v.name.tag): v.value for v in group.sessions[0].metric_values},
        }
    return {"scalars": scalars, "images": images, "sessions": sessions}


folder = sys.argv[1]
multiplexer = plugin_event_multiplexer.EventMultiplexer().AddRunsFromDirectory(folder)
multiplexer.Reload()
server = server_ingester.SubprocessServerDataIngester(
    server_binary=server_ingester.get_server_binary(), logdir=folder, reload_interval=5,
    channel_creds_type=grpc_util.ChannelCredsType.LOCAL, samples_per_plugin={})
server.start()
json.dump({
    "EventMultiplexer": read(data_provider.MultiplexerDataProvider(multiplexer, folder)),
    "data server": read(server.data_provider),
}, sys.stdout)
