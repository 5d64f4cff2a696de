"""The demo image: a guest small enough to boot in seconds without hardware help, built from Debian packages.

`build(cache_dir)` leaves `demo.qcow2`, `vmlinuz`, `initrd.img` and `manifest.json` in the directory and does nothing
when they are there already and come from this very recipe (every file beside this one); remove the directory to take up
a newer kernel. Nothing is installed into the system. What the guest does at run time is in `guest/`.

The guest wants 192 MiB of memory. Its root is the initramfs, the same for both ways of booting: straight from `vmlinuz`
and `initrd.img` with `DemoImage.cmdline`, or from its own disk by BIOS. It finds a NoCloud drive as any virtio disk, or
as a CD-ROM on virtio-scsi or i440fx IDE; Debian's cloud kernel has no driver for q35's SATA.
Console login is demo / demo (never over SSH); SSH by key as demo or root.
"""

from compute.lab.image.build import DemoImage, build

__all__ = ["DemoImage", "build"]
