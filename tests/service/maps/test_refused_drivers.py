"""A10 of the facts: GDAL knows more than a hundred kinds of files, some of which open others. Ours
are the GTiff driver's alone, whatever a file is called.
"""

import socket
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import rasterio
import rasterio.shutil

from service.domain.errors import UnsupportedImageTypeError
from tests.service.maps.rasters import Mapper, patches, save_raster
from tests.service.protocols.test_problems import assert_problem
from tests.service.serving import ServerThread, serving

OURS = {"GTiff", "COG"}
PICTURES = {"BMP", "GIF", "JPEG", "JP2OpenJPEG", "PNG", "WEBP"}  # some are read, but never as maps
SURE = {"GPKG", "HFA", "JPEG", "NITF", "PNG", "VRT", "netCDF"}
# Of GDAL's drivers that open what a file names: a web address, which would be seen here.
NAMING = {
    "source": '<VRTDataset rasterXSize="64" rasterYSize="64"><VRTRasterBand dataType="Byte" '
    'band="1"><SimpleSource><SourceFilename>/vsicurl/{url}</SourceFilename></SimpleSource>'
    "</VRTRasterBand></VRTDataset>",
    "tiles": '<GDAL_WMS><Service name="TMS"><ServerUrl>{url}</ServerUrl></Service><DataWindow>'
    "<UpperLeftX>0</UpperLeftX><UpperLeftY>0</UpperLeftY><LowerRightX>64</LowerRightX>"
    "<LowerRightY>64</LowerRightY><TileCountX>1</TileCountX><TileCountY>1</TileCountY>"
    "<TileLevel>0</TileLevel></DataWindow><BlockSizeX>64</BlockSizeX><BlockSizeY>64</BlockSizeY>"
    "</GDAL_WMS>",
    "index": "<GDALTileIndexDataset><IndexDataset>/vsicurl/{url}</IndexDataset>"
    "</GDALTileIndexDataset>",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A whole file of each driver that writes one, all of them called .tif."""
    folder, made = tmp_path_factory.mktemp("drivers"), {}
    source = save_raster(folder / "source.tif", patches(64, 64)[..., :1])
    with rasterio.Env() as env, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for driver in sorted(set(env.drivers()) - OURS):
            path = folder / driver / "scene.tif"
            path.parent.mkdir()
            try:
                rasterio.shutil.copy(source, path, driver=driver)
            except Exception:  # noqa: BLE001, S112 - it does not write, or not such a raster
                continue
            if path.is_file():
                made[driver] = path
    assert made.keys() >= SURE
    return made


@pytest.fixture(scope="module")
def server(map_store: Path) -> Iterator[ServerThread]:
    with serving(map_store, default_model="conv") as running:
        yield running


def test_a_file_of_another_driver_is_no_map_s_raster(
    server: ServerThread, solvable: Mapper, files: dict[str, Path]
) -> None:
    for driver, path in files.items():
        beside = sorted(path.parent.iterdir())
        for url in ("/segment?format=geotiff", "/segment"):
            if url == "/segment" and driver in PICTURES:
                continue
            answer = server.client.post(url, files={"image": ("scene.tif", path.read_bytes())})
            assert answer.status_code == 415, (driver, url, answer.text)
            assert_problem(answer, "unsupported-image-type")
        with pytest.raises(UnsupportedImageTypeError, match="no TIFF"):
            solvable(path, {"geotiff": path.with_name("map.tif")})
        assert sorted(path.parent.iterdir()) == beside, driver


def test_what_a_file_names_is_not_opened(
    server: ServerThread, solvable: Mapper, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/other.tif"
        for name, text in NAMING.items():
            path = tmp_path / f"{name}.tif"
            path.write_text(text.format(url=url))
            for target in ("/segment?format=geotiff", "/segment"):
                answer = server.client.post(target, content=path.read_bytes())
                assert_problem(answer, "unsupported-image-type")
            with pytest.raises(UnsupportedImageTypeError, match="no TIFF"):
                solvable(path, {"geotiff": tmp_path / "map.tif"})
        with pytest.raises(BlockingIOError):
            listening.accept()
