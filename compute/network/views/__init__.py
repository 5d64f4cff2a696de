"""Pages of networks that know no instance: VPCs, subnets and ports (`vpcs`), security groups. The pages that show instances
too (a VPC, floating IPs) are in `compute.instances.views`."""
