"""/jobs: what outlasts a request is sent, asked after, fetched and removed, a request each."""

import time
from collections.abc import Mapping

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from service.jobs.job import Job, Wish
from service.jobs.jobs import Jobs
from service.jobs.uploads import Upload
from service.protocols.auth import require_key
from service.protocols.context import AppContext, context_of, request_context
from service.protocols.exchange import stream_body
from service.protocols.native import openapi_jobs as openapi
from service.protocols.native import tus
from service.protocols.native.batch import safe_stems
from service.protocols.native.body import bare_name, stream_image
from service.protocols.native.job_params import JobParams, parse_job_params
from service.protocols.native.job_view import JobList, JobView, address, view
from service.protocols.native.params import single_values
from service.protocols.native.result_response import ResultResponse
from service.protocols.problems import MalformedRequestError, NotSupportedError

_MOST_LISTED = 1000

router = APIRouter(tags=["jobs"], dependencies=[Depends(require_key)])
# A client of tus asks what there is before it has a key, and browsers ask without one.
open_router = APIRouter(include_in_schema=False)


@router.post(
    "/jobs",
    summary="The class of every pixel of a large image, later",
    status_code=202,
    response_model=JobView,
    responses=openapi.CREATE_RESPONSES,
)
async def create_job(request: Request) -> Response:
    """Send an image as to POST /segment, and be answered as soon as it is on the disk: `Location`
    is the job's address.

    With the headers of tus 1.0.0 the file is announced here, and sent in parts by PATCH.
    """
    jobs = _jobs_of(request)
    webhook = single_values(request.query_params).get("webhook")
    params = parse_job_params(request.query_params)
    if not tus.is_meant(request):
        return await accept(request, jobs, params, webhook)
    wish = _wish(jobs, context_of(request), params, webhook, tus.read_file_name(request))
    size = tus.read_number(request, "Upload-Length")
    if size == 0:
        raise MalformedRequestError("Upload-Length is 0; a picture has some bytes.")
    owner = _owner(request)
    jobs.room.check(owner, size)
    job = await jobs.uploads.announce(owner, wish, request_context(request.scope).id, size)
    return _answer(request, jobs, job, 201)


@router.get("/jobs", summary="The caller's jobs, newest first", responses=openapi.LIST_RESPONSES)
async def list_jobs(
    request: Request,
    limit: int = Query(100, ge=1, le=_MOST_LISTED, description="How many at most."),
    before: str | None = Query(None, description="Those after this one in the list: its id."),
) -> JobList:
    """Jobs of other keys are not among them. Where no key is asked for, all callers are one."""
    jobs = _jobs_of(request)
    owned = jobs.of(_owner(request))
    if before is not None:
        places = [place for place, job in enumerate(owned) if job.id == before]
        owned = owned[places[0] + 1 :] if places else []
    prefix = _prefix(request)
    more = len(owned) > limit
    shown = [view(job, jobs, prefix) for job in owned[:limit]]
    return JobList(jobs=shown, next=shown[-1].id if more else None)


@router.get("/jobs/{id}", summary="One job: how far it is", responses=openapi.JOB_RESPONSES)
async def get_job(request: Request, response: Response, id: str) -> JobView:
    """State, progress, rate and time left; where it failed, the problem. HEAD says how much of its
    file has arrived.
    """
    jobs = _jobs_of(request)
    job = jobs.get(_owner(request), id)
    response.headers.update(tus.headers_of_upload(job, jobs.limits.upload_age_seconds))
    return view(job, jobs, _prefix(request))


@router.patch(
    "/jobs/{id}",
    summary="The next part of an announced file",
    status_code=204,
    responses=openapi.PATCH_RESPONSES,
)
async def send_part(request: Request, id: str) -> Response:
    """As tus 1.0.0 has it: the part begins at `Upload-Offset`. With the last one the job is
    queued. What arrived of a part that was cut off stays.
    """
    jobs = _jobs_of(request)
    job = jobs.get(_owner(request), id)
    tus.check_part(request)
    offset = tus.read_number(request, "Upload-Offset")
    announced = int(request.headers.get("content-length", 0))
    async with jobs.uploads.part(job, offset, announced) as upload:
        _set_limit(request, jobs)
        async for part in stream_body(request):
            await _write(request, upload, part)
    headers = tus.headers_of_upload(upload.job, jobs.limits.upload_age_seconds)
    return Response(status_code=204, headers=headers)


@router.delete(
    "/jobs/{id}",
    summary="Cancel a job, and remove what is kept of it",
    status_code=204,
    responses=openapi.DELETE_RESPONSES,
)
async def delete_job(request: Request, id: str) -> Response:
    """Wherever it is: what it holds is free at once, its result and its file are gone."""
    jobs = _jobs_of(request)
    await jobs.remove(jobs.get(_owner(request), id))
    return Response(status_code=204, headers={"Tus-Resumable": tus.VERSION})


@router.get(
    "/jobs/{id}/result",
    summary="The result of a job that is done",
    response_class=Response,
    responses=openapi.RESULT_RESPONSES,
)
async def get_result(
    request: Request,
    id: str,
    format: str | None = Query(None, description="Which, where several were asked for."),
) -> Response:
    """Whole, or in parts by `Range` and `If-Range`. It is there until the job `expires`."""
    jobs = _jobs_of(request)
    job = jobs.get(_owner(request), id)
    path, file = jobs.result(job, format)
    (stem,) = safe_stems([job.wish.file_name or f"{job.id}.x"])
    # a map's name is not the raster's own, which a download would overwrite
    ending = ".classes.tif" if file.extension == ".tif" else file.extension
    return ResultResponse(
        path,
        media_type=file.media_type,
        filename=stem + ending,
        headers={"X-Model": job.wish.model},
    )


@router.get(
    "/jobs/{id}/overview",
    summary="A picture of a map that is done",
    response_class=Response,
    responses=openapi.OVERVIEW_RESPONSES,
)
async def get_overview(request: Request, id: str) -> Response:
    """A PNG of the raster under its classes, 1024 pixels long at most; void is transparent."""
    jobs = _jobs_of(request)
    path = jobs.overview(jobs.get(_owner(request), id))
    return ResultResponse(path, media_type="image/png")


@open_router.api_route("/jobs", methods=["OPTIONS"])
@open_router.api_route("/jobs/{id}", methods=["OPTIONS"])
async def tell_abilities(request: Request) -> Response:
    """What a client of tus may do here."""
    jobs = _jobs_of(request)
    headers = {
        "Tus-Resumable": tus.VERSION,
        "Tus-Version": tus.VERSION,
        "Tus-Extension": tus.EXTENSIONS,
        "Tus-Max-Size": str(jobs.limits.max_job_bytes),
    }
    return Response(status_code=204, headers=headers)


def prefers_async(request: Request) -> bool:
    """Whether the caller would rather have a job than wait (RFC 7240)."""
    wishes = ",".join(request.headers.getlist("prefer")).split(",")
    return any(wish.partition(";")[0].strip().lower() == "respond-async" for wish in wishes)


async def accept(
    request: Request,
    jobs: Jobs,
    params: JobParams,
    webhook: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Take the request's file to the disk, and answer 202 once it is there."""
    context, owner = request_context(request.scope), _owner(request)
    wish = _wish(jobs, context_of(request), params, webhook, None)
    announced = request.headers.get("content-length")
    jobs.room.check(owner, None if announced is None else int(announced))
    _set_limit(request, jobs)
    async with jobs.uploads.whole(owner, wish, context.id) as upload:
        async for filename, part in stream_image(request):
            if filename and upload.job.wish.file_name is None:
                upload.name(bare_name(filename))
            await _write(request, upload, part)
        if upload.is_empty:
            raise MalformedRequestError("The body is empty. Send the bytes of a picture.")
    return _answer(request, jobs, upload.job, 202, headers)


def _answer(
    request: Request,
    jobs: Jobs,
    job: Job,
    status: int,
    headers: Mapping[str, str] | None = None,
) -> Response:
    prefix = _prefix(request)
    return Response(
        view(job, jobs, prefix).model_dump_json(),
        status,
        media_type="application/json",
        headers={
            **tus.headers_of_upload(job, jobs.limits.upload_age_seconds),
            "Location": address(job, prefix),
            **(headers or {}),
        },
    )


def _wish(
    jobs: Jobs, parts: AppContext, params: JobParams, webhook: str | None, file_name: str | None
) -> Wish:
    """Raises UnknownModelError, ModelUnavailableError and InvalidOptionError."""
    if webhook is not None:
        jobs.webhooks.check(webhook)
    return Wish(
        model=parts.registry.check(params.model),
        format=params.format,
        options=dict(params.options),
        file_name=file_name,
        webhook=webhook,
    )


def _set_limit(request: Request, jobs: Jobs) -> None:
    request_context(request.scope).max_body_bytes = jobs.limits.max_job_bytes


async def _write(request: Request, upload: Upload, part: bytes | bytearray) -> None:
    """To the disk, where it counts no longer as held in memory; the next part has its own time."""
    await upload.write(part)
    context = request_context(request.scope)
    context.upload.give_back(context.upload.held)
    context.body_since = time.monotonic()


def _owner(request: Request) -> str:
    return request_context(request.scope).caller or ""


def _prefix(request: Request) -> str:
    return str(request.scope.get("root_path", ""))


def _jobs_of(request: Request) -> Jobs:
    """Raises NotSupportedError."""
    return jobs_or_refuse(context_of(request).jobs)


def jobs_or_refuse(jobs: Jobs | None) -> Jobs:
    """Raises NotSupportedError where there are none."""
    if jobs is None:
        raise NotSupportedError(
            "This server does no jobs. Send the image to POST /segment, or have the operator give "
            "it a folder for jobs, SEGSERVE_JOB_FOLDER."
        )
    return jobs
